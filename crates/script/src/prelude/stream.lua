-- Streamed rules: one coroutine for each listener, connection and direction. It is resumed at every
-- push, and when the stream ends; in between it sleeps in one of the iterator's calls.
--
-- Bytes leave when the rules of their event have returned, so the iterator keeps a copy of what has
-- not been read, and what a read gathers across segments is a copy too: no mark() is needed.
local P = ...
local native, fail, live, raw = P.native, P.fail, P.live, P.raw
local setmetatable, type, error, tostring, rawget = setmetatable, type, error, tostring, rawget
local sub, format, min, huge = string.sub, string.format, math.min, math.huge
local unread_max = native.unread_max

local Iterator = { __metatable = false }
local methods = {}

-- Invariant: the unread bytes are `text` from `pos + 1` on.
local function unread(self) return #self.text - self.pos end

local function sleep(self)
    if raw.running() ~= self.co then
        fail("a stream can only be read in the coroutine of its own rule")
    end
    raw.yield()
end

-- Waits until `count` bytes are there or the stream has ended; gives what is there.
local function want(self, count)
    while unread(self) < count and not self.ended do sleep(self) end
    return unread(self)
end

local function amount(count, what)
    if type(count) ~= "number" or count < 0 or count % 1 ~= 0 then
        fail(what .. ": a number of bytes expected")
    end
    return count
end

local function take(self, count)
    local text = sub(self.text, self.pos + 1, self.pos + count)
    self.pos = self.pos + count
    return P.owned(text)
end

function methods:wait() return want(self, 1) > 0 end
function methods:available() return unread(self) end

function methods:check_available(count)
    local there = want(self, amount(count, "check_available"))
    return there >= count, there
end

-- Bytes passed over need not be kept, so this one may be as long as it likes.
function methods:advance(count)
    amount(count, "advance")
    local passed = 0
    while passed < count and want(self, 1) > 0 do
        local step = min(count - passed, unread(self))
        self.pos, passed = self.pos + step, passed + step
    end
    return passed
end

-- nil when the stream has ended and nothing is left.
function methods:sub(count)
    local there
    if count == "all" then
        there = want(self, huge)
    elseif count == nil or count == "available" then
        there = want(self, 1)
    else
        there = min(amount(count, "sub"), want(self, count))
        if count == 0 then return P.owned("") end
    end
    if there == 0 then return nil end
    return take(self, there)
end

function methods:foreach_available()
    return function() return self:sub("available") end
end

Iterator.__index = function(self, key)
    if key == "iseof" then return rawget(self, "ended") and unread(self) == 0 end
    local method = methods[key]
    if not method then
        fail(format("iterator: '%s' is unknown or not supported yet", tostring(key)))
    end
    return method
end
Iterator.__newindex = function() fail("iterator: has no fields of yours") end

local function on_error(e)
    -- Both limits speak for themselves, and there may be no memory left to say more.
    if e ~= "not enough memory" and not native.exceeded() then native.failure(tostring(e)) end
    return e
end

local function start(eval, flow, direction)
    local iterator = setmetatable({ text = "", pos = 0, ended = false, co = false }, Iterator)
    iterator.co = raw.create(function()
        -- The traceback must be taken in here: outside, the coroutine's stack is not to be had.
        local ok, e = raw.xpcall(eval, on_error, flow, iterator, direction)
        if not ok then error(e, 0) end
    end)
    return iterator
end

local function feed(iterator, len, ended)
    if len > 0 then
        live.text = live.text or native.slice(0, len)
        local rest = unread(iterator)
        if rest + len > unread_max then
            fail(format("a streamed rule left more than %d bytes unread", unread_max))
        end
        iterator.text = rest == 0 and live.text or sub(iterator.text, iterator.pos + 1) .. live.text
        iterator.pos = 0
    end
    iterator.ended = iterator.ended or ended
end

-- Gives one listener of one direction its new bytes.
function P.stream(listener, entry, direction, len, ended)
    local streams = entry[direction]
    if not streams then
        streams = {}
        entry[direction] = streams
    end
    local iterator = streams[listener]
    if iterator == nil then
        iterator = start(listener.eval, entry.flow, direction)
        streams[listener] = iterator
    end
    if not iterator then return end -- it has returned, and is not called again
    -- Dead unless it sleeps again: an error anywhere below must not leave it half alive.
    streams[listener] = false
    feed(iterator, len, ended)
    local ok, e = raw.resume(iterator.co)
    if not ok then error(e, 0) end
    if raw.status(iterator.co) == "suspended" then streams[listener] = iterator end
end
