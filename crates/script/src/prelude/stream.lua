-- Streams: the bytes of one direction of a connection, and the streamed rules that read them: one
-- coroutine for each rule, connection and direction. It is resumed at every push, and when the stream
-- ends; in between it sleeps in one of its iterator's calls.
local P = ...
local native, fail, live, raw = P.native, P.fail, P.live, P.raw
local pairs, next, error, tostring, format = pairs, next, error, tostring, string.format
local rawget, rawset = rawget, rawset
local place, unread_max = P.place, P.native.unread_max

-- Where a dissector's object keeps the streamed rules of its events.
local KEYS = {}

local LOST = "changes were lost: the bytes had to go on before the rules let go of them"

local function on_error(e)
    -- Both limits speak for themselves, and there may be no memory left to say more.
    if e ~= "not enough memory" and not native.exceeded() then native.failure(tostring(e)) end
    return e
end

-- The stream of a connection's direction; `why` says why it may not be changed, or is false.
function P.open_stream(entry, direction, offset, len, seen, ended, why)
    local stream = entry[direction]
    if not stream then
        stream = P.stream_store()
        stream.readers = false
        entry[direction] = stream
    end
    stream.ended = ended
    local complete = P.feed(stream, offset, len, seen, why)
    stream.fresh, stream.fresh_sent = stream.base + stream.len - len + seen, offset + seen
    if not complete then fail(LOST) end
    return stream
end

local function start(stream, from, eval, who, ...)
    local reader = {
        waiting = false, co = false, limit = false, ended = false, search = false, wants = false,
    }
    reader.iterator = P.new_iterator(stream, from, reader)
    reader.co = raw.create(function(...)
        -- The traceback must be taken in here: outside, the coroutine's stack is not to be had.
        local ok, e = raw.xpcall(eval, on_error, who, reader.iterator, ...)
        -- On a full stack the handler above may not have come far; where the rule begins is known.
        if e == "stack overflow" then e = native.defined_at(eval) .. e end
        if not ok then error(e, 0) end
    end)
    return reader
end

-- The streamed rule that `key` stands for, or false when it has returned: it is not called again.
local function reader_of(stream, key, from, eval, who)
    local readers = stream.readers
    if not readers then
        readers = {}
        stream.readers = readers
    end
    local reader = readers[key]
    if reader == nil then reader = start(stream, from, eval, who) end
    return reader
end

local function go_on(stream, key, reader, ...)
    local readers = stream.readers
    -- Dead unless it sleeps again: an error anywhere below must not leave it half alive.
    readers[key] = false
    local ok, e = raw.resume(reader.co, ...)
    if not ok then error(e, 0) end
    if raw.status(reader.co) == "suspended" then readers[key] = reader end
end

-- Lets a streamed rule go on: `key` stands for it, `eval(who, iterator, direction)` begins it.
function P.read_on(stream, key, eval, who, direction)
    local reader = reader_of(stream, key, stream.fresh, eval, who)
    if reader then go_on(stream, key, reader, direction) end
end

-- The same for an event of a dissector: `current` is the part of the stream that the rule may read
-- now, or nil at the end of what it is about.
function P.trigger_streamed(who, listener, current, ...)
    local keys = rawget(who, KEYS)
    if not keys then
        keys = {}
        rawset(who, KEYS, keys)
    end
    local key = keys[listener]
    if not key then
        if not current then return end
        key = { stream = current.store }
        keys[listener] = key
    end
    local stream = key.stream
    local from, to
    if current then from, to = P.places(current) end
    local reader = reader_of(stream, key, from, listener.eval, who)
    if reader then
        local iterator = reader.iterator
        if current then
            if P.available(iterator) == 0 and iterator.at < from then iterator.at = from end
            reader.limit = P.new_iterator(stream, to)
        else
            reader.ended = true
        end
        go_on(stream, key, reader, ...)
    end
    -- What comes next is about something else.
    if not current then
        stream.readers[key], keys[listener] = nil, nil
    end
end

-- At the end of an event, after which the only rule of the stream is `listener`: if it sleeps in a search and all
-- bytes have gone on, it need not be woken before there is something to act upon.
function P.let_sleep(stream, listener, index, direction)
    local readers = stream.readers
    local reader = readers and readers[listener]
    local search = reader and reader.search
    if search and stream.len == 0 and not stream.ended then
        native.regexp.sleep(index, direction == "up", search, reader.wants, stream.next)
    end
end

-- The lowest places that unfinished reads and marks need held by the engine, and kept here.
local function needs(stream, stop)
    local hold = stop
    if stream.readers then
        for _, reader in pairs(stream.readers) do
            local waiting = reader and reader.waiting
            -- One that has read its part of the stream needs nothing of what lies behind.
            if waiting and place(waiting) < hold and (not reader.limit or P.available(waiting) > 0) then
                hold = waiting.at
            end
        end
    end
    local keep = hold
    if stream.marks and next(stream.marks) then
        for _, mark in pairs(stream.marks) do
            local at = place(mark.at)
            if at < keep then keep = at end
            if mark.why ~= "copy" and at < hold then hold = at end
        end
    end
    return hold, keep
end

-- Ends the event: tells what was changed, and holds back what marks and unfinished reads need.
-- `edit` and `keep_from` take that; they are the engine's if the stream is a connection's.
function P.close_stream(stream, edit, keep_from)
    local stop = stream.base + stream.len
    local hold, keep = stop, stop
    if not stream.ended and (stream.readers or stream.marks) then hold, keep = needs(stream, stop) end
    if stop - keep > unread_max then
        stream.readers, stream.marks = {}, nil
        fail(format("a streamed rule left more than %d bytes unread", unread_max))
    end
    local last = stream.regions and stream.regions[#stream.regions]
    -- What was put in at the very end has nothing of the sender's to wait with.
    if stream.why or last and last.erased == 0 and last.from <= hold and last.from + last.len == stop
    then
        hold = stop
    end
    local from = P.release(stream, keep, hold, edit or native.edit)
    if hold < stop then (keep_from or native.hold)(from) end
end
