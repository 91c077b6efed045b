-- Streams: the bytes of one direction of a connection, and the streamed rules that read them: one
-- coroutine for each rule, connection and direction. It is resumed at every push, and when the stream
-- ends; in between it sleeps in one of its iterator's calls.
local P = ...
local native, fail, live, raw = P.native, P.fail, P.live, P.raw
local pairs, next, error, tostring, format = pairs, next, error, tostring, string.format
local place, unread_max = P.place, P.native.unread_max

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
    stream.fresh = stream.base + stream.len - len + seen
    if not complete then fail(LOST) end
    return stream
end

local function start(stream, eval, who, direction)
    local reader = { waiting = false, co = false }
    local iterator = P.new_iterator(stream, stream.fresh, reader)
    reader.co = raw.create(function()
        -- The traceback must be taken in here: outside, the coroutine's stack is not to be had.
        local ok, e = raw.xpcall(eval, on_error, who, iterator, direction)
        if not ok then error(e, 0) end
    end)
    return reader
end

-- Lets a streamed rule go on: `key` stands for it, `eval(who, iterator, direction)` begins it.
function P.read_on(stream, key, eval, who, direction)
    local readers = stream.readers
    if not readers then
        readers = {}
        stream.readers = readers
    end
    local reader = readers[key]
    if reader == nil then reader = start(stream, eval, who, direction) end
    if not reader then return end -- it has returned, and is not called again
    -- Dead unless it sleeps again: an error anywhere below must not leave it half alive.
    readers[key] = false
    local ok, e = raw.resume(reader.co)
    if not ok then error(e, 0) end
    if raw.status(reader.co) == "suspended" then readers[key] = reader end
end

-- The lowest places that unfinished reads and marks need held by the engine, and kept here.
local function needs(stream, stop)
    local hold = stop
    if stream.readers then
        for _, reader in pairs(stream.readers) do
            local waiting = reader and reader.waiting
            if waiting and place(waiting) < hold then hold = waiting.at end
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
function P.close_stream(stream)
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
    local from = P.release(stream, keep, hold)
    if hold < stop then native.hold(from) end
end
