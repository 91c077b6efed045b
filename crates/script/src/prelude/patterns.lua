-- haka.patterns: signatures, thousands at once. They are compiled once and shared by all workers; the
-- looking is Rust's, over bytes that are lent to it.
local P = ...
local native, fail, live = P.native, P.fail, P.live
local setmetatable, type, tostring, pairs, format = setmetatable, type, tostring, pairs, string.format
local sort = table.sort
local patterns = native.patterns

local methods, Set = {}, { __metatable = false }
local stream_methods, Stream = {}, { __metatable = false }

local KEYS = { "literal", "regexp", "nocase", "extended" }
local KNOWN = { literal = "string", regexp = "string", nocase = "boolean", extended = "boolean" }

local function entry(name, given)
    if type(given) == "string" then return { text = given, nocase = false } end
    local what = format("haka.patterns: '%s'", tostring(name))
    if type(given) ~= "table" then
        fail(format("%s: a literal or a table expected, got %s", what, type(given)))
    end
    for key, value in pairs(given) do
        local wanted = KNOWN[key]
        if not wanted then
            fail(format("%s: unknown key '%s'%s", what, tostring(key), P.suggest(key, KEYS)))
        end
        if type(value) ~= wanted then
            fail(format("%s: %s must be a %s, got %s", what, key, wanted, type(value)))
        end
    end
    if (given.literal == nil) == (given.regexp == nil) then
        fail(what .. ": either 'literal' or 'regexp' expected")
    end
    return {
        text = given.literal, regexp = given.regexp, nocase = given.nocase or false,
        extended = given.extended or false,
    }
end

local function every_of(what, options, default)
    if options == nil then return default end
    if type(options) ~= "table" then fail(what .. ": a table of options expected") end
    for key, value in pairs(options) do
        if key ~= "every" or type(value) ~= "boolean" then
            fail(format("%s: the only option is 'every', true or false", what))
        end
    end
    return options.every or false
end

-- `haka.patterns{ name = "literal", name = { regexp = "…", nocase = true } }`. With `every` as an option
-- each match is told, not only the first of each name.
function P.patterns(spec, options)
    if type(spec) ~= "table" then
        fail(format("haka.patterns: a table expected, got %s", type(spec)))
    end
    local names, list = {}, {}
    for name in pairs(spec) do names[#names + 1] = name end
    -- In the same order in every worker.
    sort(names, function(a, b)
        if type(a) == type(b) and (type(a) == "string" or type(a) == "number") then return a < b end
        return type(a) .. tostring(a) < type(b) .. tostring(b)
    end)
    for i = 1, #names do list[i] = entry(names[i], spec[names[i]]) end
    local every = every_of("haka.patterns", options, false)
    local compiled, problem, number = patterns.compile(list, live.loading)
    if not compiled then
        local which = number and format("'%s': ", tostring(names[number])) or ""
        fail(format("haka.patterns: %s%s", which, problem))
    end
    return setmetatable({ compiled = compiled, names = names, every = every }, Set)
end

function Set:__index(key)
    local method = methods[key]
    if method then return method end
    fail(format("patterns: unknown field '%s'", tostring(key)))
end

-- A flat list of hits as the tables that rules see. `found` has where each name was first found.
local function tell(names, flat, base, every, found)
    if not flat then return nil end
    local hits = {}
    for i = 1, #flat, 3 do
        local name, to, from = names[flat[i]], base + flat[i + 1], flat[i + 2]
        local is_new = found[name] == nil
        if is_new then found[name] = to end
        if is_new or every then
            hits[#hits + 1] = { name = name, to = to, from = from and base + from or nil }
        end
    end
    return #hits > 0 and hits or nil
end

-- What matches in a string, buffer or part: a list of { name, to, from }, or nil.
function methods:match(data)
    local text, at, len = P.lend_value(data)
    if not len then fail(format("patterns: a string or buffer expected, got %s", type(data))) end
    local flat = patterns.feed(patterns.watch(self.compiled, self.every), text, at, len, true)
    return tell(self.names, flat, 0, self.every, {})
end

local function new_stream(set, every)
    return setmetatable({
        set = set, every = every, watch = patterns.watch(set.compiled, every),
        found = {}, base = 0, fed = 0, store = false, at = 0, epoch = 0,
    }, Stream)
end

-- What looks through bytes that arrive in pieces: that of a direction of the running event's connection,
-- the same one every time, or one of the rule's own.
function methods:stream(flow, direction, options)
    if flow == nil or type(flow) == "table" and not P.is_flow(flow) then
        return new_stream(self, every_of("patterns:stream", flow, self.every))
    end
    if flow ~= live.flow then
        fail("patterns:stream: this is not the connection of the running event")
    end
    if direction ~= "up" and direction ~= "down" then
        fail(format("patterns:stream: 'up' or 'down' expected, got '%s'", tostring(direction)))
    end
    local entry = P.live_entry()
    local of = entry.patterns
    if not of then
        of = { up = {}, down = {} }
        entry.patterns = of
    end
    local stream = of[direction][self]
    if not stream then
        stream = new_stream(self, every_of("patterns:stream", options, self.every))
        of[direction][self] = stream
    end
    return stream
end

-- Where a part of a stream goes on behind what was fed before, matches do too; behind bytes that
-- passed unseen they begin anew. Places are those of the stream.
local function follow(self, part, len)
    local store = type(part) == "table" and part.store
    if not store or store.regions == nil then return end
    local from = P.places(part)
    local now = self.store == store and P.place_now(store, self.at, self.epoch)
    if not self.store and self.fed == 0 then self.base = from end
    if now and now < from then
        self.watch = patterns.watch(self.set.compiled, self.every)
        self.base, self.fed = from, 0
    end
    self.store, self.at, self.epoch = store, from + len, store.epoch
end

-- The next bytes, a string or part; `eof` if none follow. What matches now: as of `match`.
function stream_methods:feed(data, eof)
    local text, at, len = P.lend_value(data)
    if not len then fail(format("patterns: a string or buffer expected, got %s", type(data))) end
    follow(self, data, len)
    local flat = patterns.feed(self.watch, text, at, len, eof or false)
    self.fed = self.fed + len
    return tell(self.set.names, flat, self.base, self.every, self.found)
end

function Stream:__index(key)
    local method = stream_methods[key]
    if method then return method end
    fail(format("patterns stream: unknown field '%s'", tostring(key)))
end
