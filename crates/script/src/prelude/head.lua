-- What a rule says beforehand of the connections that it is for: `match = { dstport = 80 }`. It becomes a
-- table of Rust's, which is asked before anything comes here.
local P = ...
local native, fault = P.native, P.fault
local type, pairs, ipairs, tonumber, tostring = type, pairs, ipairs, tonumber, tostring
local format, match = string.format, string.match
local floor = math.floor

local NOBODY = 1
local LISTS_MAX = 4096
local PORT_MAX = 65535

local function expected(what, value)
    local kind = type(value)
    local got = kind == "string" and "'" .. value .. "'" or kind == "number" and tostring(value) or kind
    return format("%s expected, got %s", what, got)
end

local function port(into, value)
    local first, last = value, value
    if type(value) == "string" then
        first, last = match(value, "^(%d+)%-(%d+)$")
        first, last = tonumber(first), tonumber(last)
    end
    if type(first) ~= "number" or first < 0 or first > last or last > PORT_MAX or first ~= floor(first)
        or last ~= floor(last)
    then
        return expected("a port or a range like '8000-8080'", value)
    end
    into[#into + 1], into[#into + 2] = first, last
end

local function words(into, bits, a, b, c, d)
    local version = b and 6 or 4
    for _, number in ipairs { version, bits or (b and 128 or 32), a, b or 0, c or 0, d or 0 } do
        into[#into + 1] = number
    end
end

local function address(into, value)
    local what, bits = value, nil
    if type(value) == "string" then
        local text, mask = match(value, "^([^/]+)/(%d+)$")
        local a, b, c, d = native.parse_addr(text or value)
        bits = tonumber(mask)
        if a and (not bits or bits <= (b and 128 or 32)) then return words(into, bits, a, b, c, d) end
    elseif P.is_network(value) then
        what, bits = value.net, value.mask
    end
    local a, b, c, d = P.address_words(what)
    if not a then return expected("an address or a network", value) end
    words(into, bits, a, b, c, d)
end

-- One value, or a list of them.
local function each(read, value)
    local into = {}
    if type(value) ~= "table" or P.is_network(value) or P.address_words(value) then
        return into, read(into, value)
    end
    if #value == 0 then return into, "an empty list matches nothing" end
    for _, one in ipairs(value) do
        local problem = read(into, one)
        if problem then return into, problem end
    end
    return into
end

local KEYS = { srcip = address, dstip = address, srcport = port, dstport = port }
local KNOWN = { "srcip", "dstip", "srcport", "dstport", "direction" }

-- Tells Rust of the next rule of `event`, and what it asks if it has a `match`; false after a fault.
function P.add_head(what, event, spec)
    local asks = spec.match
    if not event.number then
        if asks == nil then return true end
        fault(format("%s: %s.events.%s has no 'match': only events of tcp_connection have",
            what, event.module, event.name))
        return false
    end
    if asks == nil then
        native.head(event.number)
        return true
    end
    local asked, is_good = { srcip = {}, dstip = {}, srcport = {}, dstport = {}, direction = 0 }, true
    for key, value in pairs(asks) do
        local problem
        if KEYS[key] then
            asked[key], problem = each(KEYS[key], value)
        elseif key ~= "direction" then
            problem = "unknown" .. P.suggest(key, KNOWN)
        elseif not event.directed then
            problem = format("%s.events.%s has no direction", event.module, event.name)
        elseif value == "up" or value == "down" then
            asked.direction = value == "up" and 1 or 2
        else
            problem = expected("'up' or 'down'", value)
        end
        if problem then
            is_good = false
            fault(format("%s: match.%s: %s", what, tostring(key), problem))
        end
    end
    if not is_good then return false end
    native.head(event.number, asked)
    return true
end

-- Lists of listeners, by their numbers.
local lists, count = { [NOBODY] = {} }, 0

-- Those of an event's listeners that are to be asked, where not all are.
function P.chosen(all, number)
    local list = lists[number]
    if list then return list end
    list = {}
    for i, at in ipairs(native.chosen(number)) do list[i] = all[at] end
    if count >= LISTS_MAX then lists, count = { [NOBODY] = {} }, 0 end
    lists[number], count = list, count + 1
    return list
end
