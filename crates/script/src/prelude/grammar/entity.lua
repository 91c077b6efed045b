-- What a grammar is made of: an entity says how a stretch of bytes is read. Entities do not change: each of
-- the methods here gives another one.
--
-- An entity's `parse_with(entity, ctx)` gives whether it succeeded, and the slot of its value, if it has
-- one. A parse that creates (`ctx._creating`) writes before it reads, so that both go one way.
local P = ...
local fail, grammar = P.fail, P.grammar
local read, put = grammar.read, grammar.put
local setmetatable, type, pairs, tostring, format = setmetatable, type, pairs, tostring, string.format

-- Bytes may nest as deep as their sender likes; the interpreter's stack may not.
local DEPTH_MAX = 100

local Entity, methods = { __metatable = false }, {}
Entity.__index = methods
grammar.methods = methods

-- Entities that take no arguments may be named or called: `empty`, `empty()`.
function Entity:__call(...)
    local called = self.called
    return called and called(...) or self
end

function Entity.__newindex() fail("grammar: an entity has no fields of yours") end
function Entity:__tostring() return format("grammar entity: %s", self.named or self.kind) end

function grammar.is_entity(value)
    return type(value) == "table" and P.native.metatable(value) == Entity
end

function grammar.new_entity(kind, fields)
    fields.kind = kind
    return setmetatable(fields, Entity)
end

-- A copy of `entity` with one field another.
local function with(entity, key, value)
    local copy = {}
    for name, field in pairs(entity) do copy[name] = field end
    copy[key] = value
    return setmetatable(copy, Entity)
end
grammar.with = with

function grammar.must_be_entity(what, value)
    if not grammar.is_entity(value) then
        fail(format("%s: an entity expected, got %s", what, type(value)))
    end
    return value
end

function grammar.must_be_function(what, value)
    if type(value) ~= "function" then
        fail(format("%s: a function expected, got %s", what, type(value)))
    end
    return value
end
local must_be_function = grammar.must_be_function

-- What follows a success: the field, and what was asked for its value.
local function finish(entity, ctx, slot, given)
    local result = ctx:result()
    if entity.field and slot then
        put(result, entity.field, slot)
        if ctx._creating and given == nil and entity.validator then grammar.write(result, slot, nil) end
    end
    local wanted = entity.constant
    if wanted ~= nil and slot then
        local value = read(slot)
        if P.kind_of_buffer(value) then value = value:asstring() end
        if value ~= wanted then
            return ctx:error("%s expected, got %s", tostring(wanted), tostring(value))
        end
    end
    if entity.applied then
        entity.applied(slot and read(slot), result, ctx)
        if ctx._error then return false end
    end
    return true
end

-- Parses `entity` where `ctx` stands: whether it was there, and its slot. Where a parse creates, `given` is
-- what was given for it; a field looks in its record's instead.
function grammar.run(entity, ctx, given)
    local depth = ctx._depth + 1
    if depth > DEPTH_MAX then return ctx:error("nested deeper than %d", DEPTH_MAX) end
    local rule, field = ctx._rule, ctx._field
    ctx._depth = depth
    if entity.named then ctx._rule = entity.named end
    local name = entity.field
    if name then
        ctx._field = name
        if ctx._creating then
            local init = ctx._init
            given = nil
            if type(init) == "table" then given = init[name] end
        end
    end
    ctx._value = given
    local ok, slot = entity.parse_with(entity, ctx)
    if ok then ok = finish(entity, ctx, slot, given) end
    if not ok and entity.recover and entity.recover(ctx:result(), ctx, ctx._error) then
        ok, slot, ctx._error = true, nil, nil
    end
    ctx._depth, ctx._rule, ctx._field = depth - 1, rule, field
    return ok, slot
end

-- Functions for values: `converter` has `get` (from the bytes) and `set` (to them), or is the one function.
function methods:convert(converter, memoized)
    if type(converter) == "function" then converter = { get = converter } end
    if type(converter) ~= "table" or type(converter.get) ~= "function" then
        fail("convert: a table with the functions 'get' and 'set' expected")
    end
    local copy = with(self, "converter", converter)
    return memoized and with(copy, "memoized", true) or copy
end

-- Reads the bytes once only.
function methods:memoize() return with(self, "memoized", true) end

-- `func(result)` computes the field when it was set to nil, or not given to `create`.
function methods:validate(func) return with(self, "validator", must_be_function("validate", func)) end

-- `func(value, result, ctx)` is called when the value has been parsed.
function methods:apply(func) return with(self, "applied", must_be_function("apply", func)) end

-- No other value parses; it need not be given to create one.
function methods:const(value)
    if value == nil then fail("const: a value expected") end
    return with(self, "constant", value)
end

-- `func(result, ctx, err)` is called when it does not parse; if it gives true, the parse goes on behind what
-- was read, without this entity.
function methods:on_error(func) return with(self, "recover", must_be_function("on_error", func)) end

-- The same as the methods, as a table: `:options{ count = 3 }`.
function methods:options(options)
    if type(options) ~= "table" then fail("options: a table expected, got " .. type(options)) end
    local made = self
    for name, value in pairs(options) do
        local method = grammar.option_methods[name]
        if not method or not methods[method] then
            fail(format("options: unknown option '%s'", tostring(name)))
        end
        made = methods[method](made, value)
    end
    return made
end

-- By the names that `options` takes.
grammar.option_methods = {
    convert = "convert", validate = "validate", apply = "apply", const = "const", memoize = "memoize",
    count = "count", untilcond = "untilcond", whilecond = "whilecond", create = "creator",
    result = "result", untiltoken = "untiltoken", chunked = "chunked", extra = "extra",
    on_error = "on_error",
}
