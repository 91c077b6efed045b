-- What parsing gives: objects whose fields are read from the bytes where they lie, and written there.
--
-- A *slot* is one value in the bytes: `entity` says how it is read and written, `part` where it lies; or it
-- holds a `value` that is none of the bytes' (a record, an array). A result is an object of a class whose own
-- properties (`class.lua`) are slots, so that `result.len = 3` changes the packet.
local P = ...
local fail, class = P.fail, P.class
local rawget, rawset, type, tostring, ipairs = rawget, rawset, type, tostring, ipairs
local format, remove, insert = string.format, table.remove, table.insert
local OWN = P.OWN

local Result = class.class("Result")
local ArrayResult = class.class("ArrayResult", Result)

local grammar = { Result = Result, ArrayResult = ArrayResult }
P.grammar = grammar

-- The value of a slot, by its entity's converter.
local function read(slot)
    local entity = slot.entity
    if not entity then return slot.value end
    if slot.memo ~= nil then return slot.memo end
    local value = entity.read(entity, slot)
    local converter = entity.converter
    if converter then value = converter.get(value) end
    if entity.memoized then slot.memo = value end
    return value
end
grammar.read = read

-- The other way round. nil asks `validate` to compute the value later.
local function write(result, slot, value)
    local entity = slot.entity
    if not entity or not entity.write then
        fail(format("field '%s' cannot be written", tostring(slot.name or "?")))
    end
    if value == nil then
        if not entity.validator then
            fail(format("field '%s' cannot be nil: nothing computes it", tostring(slot.name or "?")))
        end
        local own = rawget(result, OWN)
        if not own.pending then own.pending = {} end
        insert(own.pending, entity.validator)
        return
    end
    local converter = entity.converter
    if converter then
        if not converter.set then fail(format("field '%s' cannot be written", tostring(slot.name))) end
        value = converter.set(value)
    end
    slot.memo = nil
    entity.write(entity, slot, value)
end
grammar.write = write

local function get(_, slot) return read(slot) end
local function set(self, value, slot) write(self, slot, value) end

-- A result that can have fields.
function grammar.new_result(of)
    local result = class.new(of or Result)
    P.own_property(result)
    return result
end

-- Gives `result` a field. A plain table gets the value only.
function grammar.put(result, name, slot)
    if not rawget(result, OWN) then
        result[name] = read(slot)
        return
    end
    slot.name, slot.get, slot.set = name, get, set
    P.own_property(result, name, slot)
end

-- A field that is computed when it is read.
function grammar.put_computed(result, name, compute)
    if not rawget(result, OWN) then
        result[name] = compute(result)
        return
    end
    P.own_property(result, name, { get = function(self) return compute(self) end })
end

-- Gives `result` the fields of another as well.
function grammar.absorb(result, other)
    local own = type(other) == "table" and other ~= result and rawget(other, OWN)
    if not own or own.array then return end
    for _, name in ipairs(own.order) do
        if rawget(result, OWN) then
            P.own_property(result, name, own.fields[name])
        else
            result[name] = other[name]
        end
    end
end

-- For going back: which fields there are, and taking out those that came later.
function grammar.fields_of(result)
    local own = rawget(result, OWN)
    return own and #own.order or 0
end

function grammar.forget_fields(result, count)
    local own = rawget(result, OWN)
    if not own then return end
    for i = #own.order, count + 1, -1 do
        own.fields[own.order[i]], own.order[i] = nil, nil
    end
end

-- Computes what was set to nil, or not given to `create`.
function Result.method:validate()
    local own = rawget(self, OWN)
    local pending = own and own.pending
    if not pending then return end
    own.pending = nil
    for _, compute in ipairs(pending) do compute(self) end
end

-- How an array knows its elements again: the entity and context they were parsed with, where each lies,
-- and the place behind the last.
function grammar.new_array(of, entity, ctx)
    local array = grammar.new_result(of or ArrayResult)
    rawget(array, OWN).array = {
        entity = entity, ctx = ctx, tail = false, parts = {}, user = ctx.user,
    }
    return array
end

local function array_of(self) return rawget(self, OWN).array end

function grammar.add_element(array, value, part)
    local at = #array + 1
    if value == nil then value = false end
    rawset(array, at, value)
    array_of(array).parts[at] = part
end

-- An iterator that may sleep would go on behind bytes that have left; this one says that they have.
function grammar.end_array(array, iter)
    array_of(array).tail = P.new_iterator(iter.store, P.place(iter))
end

local function part_of(self, at)
    local part = array_of(self).parts[at]
    if not part then fail(P.read_only) end
    return part
end

local function place_in(self, what, wanted)
    if type(wanted) == "number" and (type(self[1]) ~= "number" or rawget(self, wanted) ~= nil) then
        if rawget(self, wanted) == nil then fail(format("%s: there is no element %d", what, wanted)) end
        return wanted
    end
    for i, element in ipairs(self) do
        if element == wanted then return i end
    end
    fail(what .. ": this is no element of the array")
end

-- Puts the bytes of a new element at `place`, and reads it from there.
local function insert_at(self, place, init)
    local array = array_of(self)
    local options = array.entity
    local buffer
    if options.create_with then
        buffer = options.create_with(array.ctx, options.element, init)
    else
        buffer = P.vbuffer_from("")
        options.element:create(buffer:pos("begin"), nil, init, array.user)
    end
    local part = place:insert(buffer)
    local value, problem = options.element:parse(part:pos("begin"), nil, array.user)
    if problem then fail("the new element cannot be parsed: " .. tostring(problem)) end
    return value, part
end

-- Puts a new element behind the last: `init` has its fields.
function ArrayResult.method:append(init)
    local value, part = insert_at(self, array_of(self).tail, init)
    grammar.add_element(self, value, part)
    return value
end

-- Puts a new element before the element `where` (it, or its number).
function ArrayResult.method:insert(where, init)
    local at = place_in(self, "insert", where)
    local array = array_of(self)
    local value, part = insert_at(self, part_of(self, at):pos("begin"), init)
    insert(array.parts, at, part)
    for i = #self, at, -1 do rawset(self, i + 1, self[i]) end
    rawset(self, at, value)
    return value
end

-- Takes an element out, and its bytes: it, or its number.
function ArrayResult.method:remove(which)
    local at = place_in(self, "remove", which)
    part_of(self, at):erase()
    remove(array_of(self).parts, at)
    remove(self, at)
end
