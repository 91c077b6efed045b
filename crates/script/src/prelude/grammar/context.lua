-- Where a parse stands: its iterator, the results it fills, and what went wrong.
local P = ...
local grammar, place = P.grammar, P.place
local setmetatable, type, tostring, select = setmetatable, type, tostring, select
local format, floor = string.format, math.floor

local Context, ParseError = { __metatable = false }, { __metatable = false }
local methods = {}
Context.__index = methods

-- `user` is what the caller of `parse` has given for the functions of the grammar. Fields with `_` in
-- front are ours; functions of the grammar may keep others here, for as long as the parse lasts.
function grammar.new_context(iter, result, user)
    return setmetatable({
        iter = iter, user = user, _results = { result },
        _bit = 0, _depth = 0, _rule = false, _field = false, _marks = {}, _hold = false,
        _init = false, _value = false, _creating = false, _from = place(iter),
    }, Context)
end

-- The record that is being filled; `n` from 1 for the outermost.
function methods:result(n)
    local results = self._results
    if n == nil then n = #results end
    if n < 0 then n = #results + 1 + n end
    return results[n]
end

local explain
function explain(self, position, text, ...)
    -- Haka's scripts may name an entity before the text.
    if type(text) == "table" then return explain(self, position, ...) end
    if select("#", ...) > 0 then text = format(text, ...) end
    self._error = setmetatable({
        description = tostring(text), rule = self._rule or "<unknown>", field = self._field or nil,
        position = place(position or self.iter) - self._from,
        iterator = (position or self.iter):copy(),
    }, ParseError)
    return false
end

-- Ends the parse, unless there is something else to try: `ctx:error(text, …)`, or with the iterator before
-- the text where the fault is.
function methods:error(first, ...)
    if first == nil or P.is_iterator(first) then return explain(self, first, ...) end
    return explain(self, nil, first, ...)
end

ParseError.__index = ParseError
function ParseError:__tostring()
    return format("parse error at byte %d for field %s in %s: %s", self.position,
        self.field or "<unknown>", self.rule, self.description)
end

-- What is read waits with us, so that it may be changed until the whole is read; see `parse`.
function grammar.hold(self)
    local mark = self.iter:copy()
    P.hold_at(mark, "mark")
    self._hold = mark
end

local function let_go(self)
    local mark = self._hold
    if mark then
        mark:unmark()
        self._hold = false
    end
end

-- The next byte as a number, without passing it; nil at the end.
function methods:lookahead()
    local ahead = self.iter:copy()
    if not ahead:wait() then return nil end
    local store = ahead.store
    return P.byte_at(store, place(ahead) - store.base)
end

-- Holds everything from here on until `unmark`; with `readonly` it goes on, and a copy is kept.
function methods:mark(readonly)
    local mark = self.iter:copy()
    -- Where nothing can be changed, there is nothing to hold back.
    mark:mark(readonly or mark.store.why ~= false)
    local marks = self._marks
    marks[#marks + 1] = mark
end

function methods:unmark()
    local marks = self._marks
    local mark = marks[#marks]
    if not mark then return let_go(self) end
    marks[#marks] = nil
    mark:unmark()
end

function grammar.unmark_all(self)
    let_go(self)
    local marks = self._marks
    for i = #marks, 1, -1 do
        marks[i]:unmark()
        marks[i] = nil
    end
end

-- A place to come back to; its bytes are kept until `settle`.
function grammar.remember(self)
    local start = self.iter:copy()
    local store = start.store
    -- Bytes of a stream that cannot be changed may go on meanwhile: a copy will do.
    P.hold_at(start, store.why and "copy" or "mark")
    return {
        iter = start, bit = self._bit, results = #self._results, marks = #self._marks,
        fields = grammar.fields_of(self:result()),
    }
end

function grammar.come_back(self, start)
    self.iter:move_to(start.iter)
    self._bit, self._error = start.bit, nil
    for i = #self._results, start.results + 1, -1 do self._results[i] = nil end
    for _ = #self._marks, start.marks + 1, -1 do self:unmark() end
    grammar.forget_fields(self:result(), start.fields)
end

function grammar.settle(start) start.iter:unmark() end

-- The part of `count` bytes that comes next, or false after an error.
function grammar.take(self, count)
    local part = self.iter:sub(count)
    local there = part and #part or 0
    if there < count then
        local from = P.new_iterator(self.iter.store, place(self.iter) - there)
        return self:error(from, "%d bytes expected, %d there", count, there)
    end
    return part
end

-- The part of the bytes that hold the next `bits`, the first of which is bit `off` of the first byte.
function grammar.take_bits(self, bits)
    local off = self._bit
    local whole = floor((off + bits) / 8)
    if (off + bits) % 8 == 0 then
        local part = grammar.take(self, whole)
        if part then self._bit = 0 end
        return part, off
    end
    local start = self.iter:copy()
    local part = grammar.take(self, whole + 1)
    if not part then return false end
    -- The last byte is begun, not passed.
    self.iter:move_to(start)
    if whole > 0 then self.iter:advance(whole) end
    self._bit = (off + bits) % 8
    return part, off
end
