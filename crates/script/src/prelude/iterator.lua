-- Iterators: places in a buffer that move. One that was given to a streamed rule waits for what has
-- not arrived; what its unfinished read needs is held back meanwhile, so that it can be changed once
-- it is read.
local P = ...
local native, fail, raw = P.native, P.fail, P.raw
local setmetatable, type, tostring = setmetatable, type, tostring
local format, min, huge = string.format, math.min, math.huge
local moved = P.moved

local Iterator = { __metatable = false }
local methods = {}

-- `reader` is the streamed rule in whose coroutine it may wait, or false. One that reads an event of
-- a dissector sees the stream up to `reader.limit` only, until `reader.ended`.
function P.new_iterator(store, at, reader)
    local self = { store = false, at = 0, epoch = 0, reader = false, passed = 0, lent = false }
    self.store, self.at, self.epoch, self.lent = store, at, store.epoch, store.lent
    if reader then self.reader = reader end
    return setmetatable(self, Iterator)
end

function P.is_iterator(value)
    return type(value) == "table" and native.metatable(value) == Iterator
end

-- The place, as it is now.
local function place(self)
    local store = self.store
    if self.epoch ~= store.epoch then
        self.at = moved(store, self.at, self.epoch, false)
        self.epoch = store.epoch
    end
    if self.lent ~= store.lent then fail("invalid buffer iterator: its bytes have gone on") end
    if self.at < store.base then
        -- A streamed rule goes on behind what passed unseen.
        if not self.reader then fail("invalid buffer iterator: its bytes have gone on") end
        self.at = store.base
    end
    return self.at
end
P.place = place

local function available(self)
    local store, at, reader = self.store, place(self), self.reader
    local limit = reader and reader.limit
    if not limit then return store.base + store.len - at end
    if limit.epoch ~= store.epoch then
        limit.at, limit.epoch = moved(store, limit.at, limit.epoch, true), store.epoch
    end
    return limit.at > at and limit.at - at or 0
end
P.available = available

local function has_ended(self)
    local reader = self.reader
    if reader and reader.limit then return reader.ended end
    -- More may come to a stream that has not ended.
    return self.store.ended ~= false
end
P.has_ended = has_ended

-- Waits until `count` bytes are there or the stream has ended; gives what is there.
local function want(self, count)
    local there, reader = available(self), self.reader
    while there < count and reader and not has_ended(self) do
        if raw.running() ~= reader.co then
            fail("a stream can only be read in the coroutine of its own rule")
        end
        reader.waiting = self
        raw.yield()
        reader.waiting = false
        there = available(self)
    end
    return there
end
P.want = want

local function amount(count, what)
    if type(count) ~= "number" or count < 0 or count % 1 ~= 0 then
        fail(what .. ": a number of bytes expected")
    end
    return count
end

local function pass(self, count)
    self.at, self.passed = self.at + count, self.passed + count
end

-- A part that is read while the rule may sleep must outlive its bytes.
local function take(self, count)
    local store, at, snap = self.store, place(self), false
    if self.reader then snap = P.whole(store) end
    pass(self, count)
    return P.new_sub(store, at, at + count, false, snap, at - store.base)
end

function methods:wait() return want(self, 1) > 0 end
function methods:available() return available(self) end

function methods:check_available(count)
    local there = want(self, amount(count, "check_available"))
    return there >= count, there
end

-- Bytes passed over need not wait for those behind them.
function methods:advance(count)
    amount(count, "advance")
    local passed = 0
    while passed < count and want(self, 1) > 0 do
        local step = min(count - passed, available(self))
        pass(self, step)
        passed = passed + step
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
        if count == 0 then return take(self, 0) end
    end
    if there == 0 then return nil end
    return take(self, there)
end

function methods:foreach_available()
    return function() return self:sub("available") end
end

-- The iterator stands behind what it has put in.
function methods:insert(buffer)
    local text, at, store = P.take_text("insert", buffer), place(self), self.store
    P.splice(store, at, 0, text)
    self.at, self.epoch = at + #text, store.epoch
    return P.new_sub(store, at, at + #text)
end

-- Puts back what `select` took out, or something else.
function methods:restore(buffer)
    local text, at = P.take_text("restore", buffer), place(self)
    P.splice(self.store, at, 0, text)
    if self.store.marks then self.store.marks[self] = nil end
end

-- Stores are in one piece, so there is nothing to split; places need no help to stay.
function methods:split() place(self) end

function methods:copy()
    local copy = P.new_iterator(self.store, place(self), self.reader)
    copy.passed = self.passed
    return copy
end

function methods:move_to(other)
    if not P.is_iterator(other) or other.store ~= self.store then
        fail("move_to: an iterator of the same buffer expected")
    end
    self.at, self.epoch = place(other), self.store.epoch
end

-- Holds back everything from a place on: "mark" and "select" in the engine, "copy" only here.
function P.hold_at(iterator, why)
    local store = iterator.store
    if store.regions == nil then return end -- a buffer of the script's own goes nowhere
    if not store.marks then store.marks = {} end
    -- The mark stays where it was made, wherever the iterator goes.
    store.marks[iterator] = { at = P.new_iterator(store, place(iterator)), why = why }
end

-- With `readonly` the bytes may go on, and a copy stays to be read.
function methods:mark(readonly)
    local why = self.store.why
    if not readonly and why and why ~= P.read_only then fail(why) end
    P.hold_at(self, (readonly or why) and "copy" or "mark")
end

function methods:unmark()
    if self.store.marks then self.store.marks[self] = nil end
end

function Iterator:__index(key)
    local method = methods[key]
    if method then return method end
    if key == "iseof" then return has_ended(self) and available(self) == 0 end
    if key == "meter" then return self.passed end
    fail(format("iterator: unknown field '%s'", tostring(key)))
end

function Iterator:__newindex(key, value)
    if key ~= "meter" then fail("iterator: has no fields of yours but 'meter'") end
    self.passed = amount(value, "meter")
end
