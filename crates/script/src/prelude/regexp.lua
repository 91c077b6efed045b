-- Expressions: what `regexp/pcre` gives. The matching is Rust's, over bytes that are lent to it.
local P = ...
local native, fail, live = P.native, P.fail, P.live
local setmetatable, type, tostring, format = setmetatable, type, tostring, string.format
local regexp, moved, place = native.regexp, P.moved, P.place

local MATCH, OPEN, CERTAIN = 1, 2, 3
local CASE_INSENSITIVE, EXTENDED = 1, 2
-- Expressions that `rem.re:match` keeps compiled; more, and all are forgotten.
local KEPT_MAX = 256

-- For Rust to read bytes of a store from `index` (from 0) on: the text, or nil for the event's own
-- bytes, and the place in it. Nothing is copied.
local function lend(store, index)
    local text = store.text
    if text then
        if store.patch then text = P.whole(store) end
        return text, index
    end
    if store.len == 0 then return "", 0 end
    if store.gen ~= live.generation then fail(P.gone) end
    return nil, store.off + index
end
P.lend = lend

-- The same for a string, buffer or part: also how many bytes there are. nil if it is neither.
function P.lend_value(value)
    if type(value) == "string" then return value, 0, #value end
    if not P.kind_of_buffer(value) then return nil, false end
    local store, from, to = P.span(value)
    if not store then
        -- The bytes have gone on; a part may have a copy of them.
        local text = value:asstring()
        return text, 0, #text
    end
    local text, at = lend(store, from)
    return text, at, to - from
end

-- The place `at`, noted at `epoch`, as it is now; nil if that was too many changes ago.
function P.place_now(store, at, epoch)
    if epoch == store.epoch then return at end
    if epoch < store.oldest then return nil end
    return moved(store, at, epoch, true)
end

local methods, Expression = {}, { __metatable = false }
local sink_methods, Sink = {}, { __metatable = false }

function Expression:__index(key)
    local method = methods[key]
    if method then return method end
    fail(format("regexp: unknown field '%s'", tostring(key)))
end

local function compile(pattern, flags)
    if type(pattern) ~= "string" then
        fail(format("regexp: an expression expected, got %s", type(pattern)))
    end
    if flags ~= nil and (type(flags) ~= "number" or flags < 0 or flags > 3 or flags % 1 ~= 0) then
        fail("regexp: flags are CASE_INSENSITIVE, EXTENDED, or their sum")
    end
    local compiled, problem = regexp.compile(pattern, flags or 0, live.loading)
    if not compiled then fail(format("regexp: '%s': %s", pattern, problem)) end
    return setmetatable({ compiled = compiled }, Expression)
end

-- The match in a string: its text, the offset of its first byte (from 0), and that behind its last.
local function match_string(self, text)
    local code, from, to = regexp.feed(regexp.scan(self.compiled), text, 0, #text, true)
    if code ~= MATCH then return nil end
    return text:sub(from + 1, to), from, to
end

local function match_part(self, part)
    local text, at, len = P.lend_value(part)
    local code, from, to = regexp.feed(regexp.scan(self.compiled), text, at, len, true)
    if code ~= MATCH then return nil end
    return part:sub(from, to - from)
end

local function step(iterator, count)
    iterator.at, iterator.epoch = place(iterator) + count, iterator.store.epoch
    iterator.passed = iterator.passed + count
end

-- A search in what lies before an iterator, and in what still arrives. Counts are bytes since where
-- the search began: `fed` were looked at, `stands` is where the iterator is. What lies behind the
-- iterator is held while the rule waits, so that is where a match may have begun if the rule
-- wants the match. `copy` is that place if the bytes need not be held.
local function search_on(self, iterator, wants, readonly)
    local store, search = iterator.store, regexp.scan(self.compiled)
    local fed, stands, copy, copied = 0, 0, nil, 0
    local function done(...)
        if copy then copy:unmark() end
        return ...
    end
    while true do
        local at, epoch, reader = place(iterator), iterator.epoch, iterator.reader
        -- Where nothing is held, the search may go on without the rule.
        local sleeps = reader and fed == stands and not copy
        if sleeps then reader.search, reader.wants = search, wants and true or false end
        local there = P.want(iterator, fed - stands + 1)
        local now = P.place_now(store, at, epoch)
        if sleeps then
            reader.search = false
            local ahead = regexp.ahead(search)
            fed, stands, iterator.passed = fed + ahead, stands + ahead, iterator.passed + ahead
            now = now and now + ahead
        end
        if now and now < store.base then
            -- Bytes have passed unseen: what had begun is not to be completed.
            done()
            search, fed, stands, copy = regexp.scan(self.compiled), 0, 0, nil
            there = P.available(iterator)
        end
        local new = there - (fed - stands)
        local ends = P.has_ended(iterator) or not iterator.reader
        local base = place(iterator)
        local text, from = lend(store, base + fed - stands - store.base)
        local code, first, last = regexp.feed(search, text, from, new, ends)
        fed = fed + new
        if code == MATCH then
            local start = (copy and place(copy) - copied or base - stands) + first
            local stop = base - stands + last
            step(iterator, last - stands)
            if not wants then return done(true) end
            local snap = iterator.reader and P.whole(store) or false
            return done(P.new_sub(store, start, stop, false, snap, start - store.base))
        elseif code == OPEN or code == CERTAIN then
            -- A match that is certain is held in any case: the rule has something to say about it.
            local keep = (wants or code == CERTAIN) and first or fed
            if readonly and wants then
                local origin = copy and place(copy) - copied or base - stands
                if copy then copy:unmark() end
                copy, copied = nil, keep
                if keep < fed then
                    copy = P.new_iterator(store, origin + keep)
                    copy:mark(true)
                end
                keep = fed
            end
            if keep > stands then
                step(iterator, keep - stands)
                stands = keep
            end
        else
            if fed > stands then step(iterator, fed - stands) end
            return done(nil)
        end
    end
end

-- `subject`: a string, a buffer or part, or an iterator: then the match is looked for in all that
-- still arrives, the iterator moves to its end, and what belongs to it is held if `createsub`.
function methods:match(subject, createsub, readonly)
    if type(subject) == "string" then return match_string(self, subject) end
    if P.is_iterator(subject) then
        return search_on(self, subject, createsub or false, readonly or false)
    end
    if P.kind_of_buffer(subject) then return match_part(self, subject) end
    fail(format("regexp: a string, buffer or iterator expected, got %s", type(subject)))
end

function methods:create_sink()
    return setmetatable({ search = regexp.scan(self.compiled) }, Sink)
end

-- The next bytes, a string or part; `eof` if none follow. Whether there is a match, where it begins and
-- where it ends, counted from the first byte that was fed.
function sink_methods:feed(data, eof)
    local text, at, len = P.lend_value(data)
    if not len then fail(format("regexp: a string or buffer expected, got %s", type(data))) end
    local code, from, to = regexp.feed(self.search, text, at, len, eof or false)
    if code == MATCH then return true, from, to end
    return false
end

-- Whether a match has begun that more bytes could complete.
function sink_methods:ispartial() return regexp.is_partial(self.search) end

function Sink:__index(key)
    local method = sink_methods[key]
    if method then return method end
    fail(format("regexp sink: unknown field '%s'", tostring(key)))
end

-- `rem.re`.
local kept, count = {}, 0
local engine = { CASE_INSENSITIVE = CASE_INSENSITIVE, EXTENDED = EXTENDED }

function engine:compile(pattern, flags) return compile(pattern, flags) end

function engine:match(pattern, subject, flags)
    local key = tostring(flags or 0) .. ":" .. tostring(pattern)
    local expression = kept[key]
    if not expression then
        expression = compile(pattern, flags)
        if count >= KEPT_MAX then kept, count = {}, 0 end
        kept[key], count = expression, count + 1
    end
    return expression:match(subject)
end

P.regexp = P.strict("regexp/pcre", { re = P.strict("regexp", engine) })
