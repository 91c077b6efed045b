-- Functions of Lua's own library that may work for long inside one call, where no limit looks: each is
-- charged for what it does, or done by one of ours that counts its steps.
local P = ...
local native, fail = P.native, P.fail
local type, tostring, setmetatable, select = type, tostring, setmetatable, select
local byte, sub, rep, format = string.byte, string.sub, string.rep, string.format
local raw_find, raw_match, raw_gmatch, raw_gsub = string.find, string.match, string.gmatch, string.gsub
local raw_insert, raw_concat, raw_sort, raw_maxn = table.insert, table.concat, P.counted("sort", table.sort), table.maxn
local counted_gsub = P.counted("gsub", raw_gsub)
local floor, log = math.floor, math.log
local ipairs = ipairs

-- Up to so many steps the interpreter's matcher may take; a tenth of a millisecond at most. A guess.
local STEPS_TRUSTED = 20000
-- So many steps of it take as long as an instruction.
local STEPS = 4
-- Work is told in portions, since telling costs, too.
local PORTION = 1000
local done = 0

local function work(instructions)
    done = done + instructions
    if done > PORTION then
        local spent = done
        done = 0
        native.spend(floor(spent))
    end
end

-- How the time that a pattern takes grows with the text: the number of its repetitions, one more if it
-- may begin anywhere, and how many of its characters may be left out. Too careful about a `-` in a set.
local shapes, shape_count = {}, 0
local function shape(pattern)
    local known = shapes[pattern]
    if known then return known end
    local power, maybe, i, len = 0, 0, 1, #pattern
    if byte(pattern, 1) ~= 94 then power = 1 end
    while i <= len do
        local c = byte(pattern, i)
        if c == 37 then
            local class = byte(pattern, i + 1) or 0
            -- %b and %1 look at many characters.
            if class == 98 or class >= 48 and class <= 57 then power = power + 1 end
            i = i + 1
        elseif c == 42 or c == 43 or c == 45 then
            power = power + 1
        elseif c == 63 then
            maybe = maybe + 1
        end
        i = i + 1
    end
    if shape_count > 256 then shapes, shape_count = {}, 0 end
    known = { power = power, paths = 2 ^ maybe }
    shapes[pattern], shape_count = known, shape_count + 1
    return known
end

-- Whether the interpreter's own matcher may do it; if so, it is charged for.
local function trusted(pattern, len, more)
    local known = shape(pattern)
    local steps = (len + 1) ^ (known.power + more) * known.paths
    if steps > STEPS_TRUSTED then return false end
    work(steps / STEPS)
    return true
end

local function text(value, number, name)
    if type(value) == "string" then return value end
    if type(value) == "number" then return tostring(value) end
    fail(format("bad argument #%d to '%s' (string expected, got %s)", number, name,
        value == nil and "no value" or type(value)))
end

-- The index from 0 at which a search begins, or nil.
local function first(init, len)
    if init == nil then return 0 end
    if type(init) ~= "number" then fail("a number expected, where to begin, got " .. type(init)) end
    if init < 0 then
        init = init + len
        return init > 0 and floor(init) or 0
    end
    init = floor(init) - 1
    if init < 0 then return 0 end
    if init > len then return nil end
    return init
end

local function checked(found, ...)
    if found == false then fail((...)) end
    return found, ...
end

local function search(pattern, value, from)
    return checked(native.find(pattern, value, from))
end

function string.find(value, pattern, init, plain)
    value, pattern = text(value, 1, "find"), text(pattern, 2, "find")
    local from = first(init, #value)
    if not from then return nil end
    if plain or not raw_find(pattern, "[%^%$%*%+%?%.%(%[%%%-]") then
        local steps = (#value - from) * #pattern / 16
        if steps <= STEPS_TRUSTED then
            work(steps / STEPS)
            return raw_find(value, pattern, from + 1, true)
        end
        native.spend(floor((#value + #pattern) / 16))
        return native.find_plain(pattern, value, from)
    end
    if trusted(pattern, #value - from, 0) then return raw_find(value, pattern, from + 1) end
    return search(pattern, value, from)
end

-- The captures, or the whole if there are none.
local function captured(value, start, stop, ...)
    if not start then return nil end
    if select("#", ...) > 0 then return ... end
    return sub(value, start, stop)
end

function string.match(value, pattern, init)
    value, pattern = text(value, 1, "match"), text(pattern, 2, "match")
    local from = first(init, #value)
    if not from then return nil end
    if trusted(pattern, #value - from, 0) then return raw_match(value, pattern, from + 1) end
    return captured(value, search(pattern, value, from))
end

function string.gmatch(value, pattern)
    value, pattern = text(value, 1, "gmatch"), text(pattern, 2, "gmatch")
    if trusted(pattern, #value, 1) then return raw_gmatch(value, pattern) end
    -- Here ^ is a character like any other.
    if byte(pattern, 1) == 94 then pattern = "%" .. pattern end
    local from = 0
    local function advance(start, stop, ...)
        if not start then
            from = #value + 1
            return nil
        end
        from = stop >= start and stop or stop + 1
        return captured(value, start, stop, ...)
    end
    return function()
        if from > #value then return nil end
        return advance(search(pattern, value, from))
    end
end

-- `%1` and the others in a replacement.
local function filled(with, value, start, stop, ...)
    local parts, i, len, count = {}, 1, #with, select("#", ...)
    while i <= len do
        local at = raw_find(with, "%", i, true)
        if not at then
            parts[#parts + 1] = sub(with, i)
            break
        end
        parts[#parts + 1] = sub(with, i, at - 1)
        local digit = (byte(with, at + 1) or 37) - 48
        if digit == 0 or digit == 1 and count == 0 then
            parts[#parts + 1] = sub(value, start, stop)
        elseif digit >= 1 and digit <= 9 then
            if digit > count then fail("invalid capture index") end
            parts[#parts + 1] = tostring((select(digit, ...)))
        else
            parts[#parts + 1] = sub(with, at + 1, at + 1)
        end
        i = at + 2
    end
    return raw_concat(parts)
end

local function replaced(with, value, start, stop, ...)
    local kind, new = type(with), nil
    if kind == "string" then return filled(with, value, start, stop, ...) end
    if kind == "table" then
        new = with[captured(value, start, stop, ...)]
    else
        new = with(captured(value, start, stop, ...))
    end
    if not new then return sub(value, start, stop) end
    if type(new) ~= "string" and type(new) ~= "number" then
        fail(format("invalid replacement value (a %s)", type(new)))
    end
    return tostring(new)
end

-- Making a long string takes its time even where the same is there already, so that no memory is taken.
local LONG, BYTES = 65536, 64
local function made(value, ...)
    if #value > LONG then work(#value / BYTES) end
    return value, ...
end

function string.gsub(value, pattern, with, max)
    value, pattern = text(value, 1, "gsub"), text(pattern, 2, "gsub")
    local kind = type(with)
    if kind == "number" then
        with = tostring(with)
    elseif kind ~= "string" and kind ~= "table" and kind ~= "function" then
        fail("bad argument #3 to 'gsub' (string/function/table expected, got " .. kind .. ")")
    end
    if trusted(pattern, #value, 1) then return made(counted_gsub(value, pattern, with, max)) end
    local anchored = byte(pattern, 1) == 94
    local parts, from, count = {}, 0, 0
    -- Takes what one search gave; whether there is more to do.
    local function take(start, stop, ...)
        if not start then return false end
        count = count + 1
        parts[#parts + 1] = sub(value, from + 1, start - 1)
        parts[#parts + 1] = replaced(with, value, start, stop, ...)
        from = stop
        if stop < start then
            -- Nothing was taken, so one character goes on as it is.
            parts[#parts + 1] = sub(value, start, start)
            from = start
        end
        return from <= #value and not anchored
    end
    while (not max or count < max) and take(search(pattern, value, from)) do end
    parts[#parts + 1] = sub(value, from + 1)
    return made(raw_concat(parts), count)
end

local function nothing() end
local function charged(name, raw) return P.named(name, raw, nothing, made) end
string.format = P.counted("format", string.format)
for _, name in ipairs { "format", "lower", "reverse", "sub", "upper" } do
    string[name] = charged(name, string[name])
end

-- An empty string times a billion is a loop of its own.
local long_rep = charged("rep", rep)
function string.rep(value, count, between)
    if value == "" and (between == nil or between == "") then return "" end
    return long_rep(value, count, between)
end

local function list(value, name)
    if type(value) ~= "table" then
        fail(format("bad argument #1 to '%s' (table expected, got %s)", name,
            value == nil and "no value" or type(value)))
    end
    return value
end

-- At the front of a long list everything is moved.
function table.insert(into, ...)
    list(into, "insert")
    if select("#", ...) > 1 then work(#into / STEPS) end
    return raw_insert(into, ...)
end

function table.concat(parts, ...)
    work(#list(parts, "concat"))
    return made(raw_concat(parts, ...))
end

function table.sort(values, before)
    local len = #list(values, "sort")
    -- With a function of the script's the hook looks.
    if not before and len > 1 then work(len * log(len) / log(2)) end
    return raw_sort(values, before)
end

function table.maxn(values)
    work(#list(values, "maxn"))
    return raw_maxn(values)
end

-- An error's message is joined with its place, and a number is looked for in all of a text.
local raw_error, raw_tonumber = error, tonumber
function P.globals.error(message, level)
    if type(message) == "string" and #message > LONG then work(#message / BYTES) end
    if type(message) ~= "string" then native.raised() end
    level = raw_tonumber(level) or 1
    raw_error(message, level > 0 and level + 1 or level)
end

function P.globals.tonumber(value, ...)
    if type(value) == "string" and #value > LONG then work(#value / BYTES) end
    return raw_tonumber(value, ...)
end

-- The methods of strings are those of `string`, and no script may put others in their place.
native.metatable("").__metatable = false

-- Whoever asks how much there is may know; when it is collected is not for scripts to say.
function P.globals.collectgarbage(what)
    if what == "count" then return native.used_kilobytes() end
    if what == nil or what == "collect" or what == "step" then return 0 end
    fail("collectgarbage: only 'count' and 'collect' are there, and the latter does nothing")
end
