-- `haka.grammar.new("name", function() … end)`: in the function every builder is a name, and what is given to a
-- name becomes a rule of the grammar.
local P = ...
local fail, grammar, place, class = P.fail, P.grammar, P.place, P.class
local build, run, with = grammar.build, grammar.run, grammar.with
local is_entity, new_entity = grammar.is_entity, grammar.new_entity
local setmetatable, rawget, rawset, type, tostring = setmetatable, rawget, rawset, type, tostring
local pairs, ipairs, select, format, setfenv = pairs, ipairs, select, string.format, setfenv

-- A name that is defined before it is given: rules may so be part of themselves.
local function parse_named(entity, ctx)
    local rule = entity.rules[entity.name]
    return run(rule, ctx, ctx._value)
end

-- Whether a record must not be held until it is whole: parts of it are to go on earlier.
local function lets_go(entity, seen)
    if seen[entity] then return false end
    seen[entity] = true
    if entity.by_chunks or entity.kind == "retain" then return true end
    for _, list in ipairs { entity.list or {}, entity.cases or {} } do
        for _, each in pairs(list) do
            if lets_go(each, seen) then return true end
        end
    end
    local rule = entity.kind == "named" and entity.rules[entity.name] or entity.element
    if rule and lets_go(rule, seen) then return true end
    local default = entity.default
    return is_entity(default) and lets_go(default, seen)
end

local keeps = setmetatable({}, { __mode = "k" })

local function start(entity, iter, result, user)
    if P.kind_of_buffer(iter) then iter = iter:pos("begin") end
    if not P.is_iterator(iter) then fail("parse: an iterator expected, got " .. type(iter)) end
    if result ~= nil then
        if type(result) ~= "table" then fail("parse: a table expected as result, got " .. type(result)) end
        if class.classof(result) then P.own_property(result) end
    end
    local root = entity
    while root.kind == "named" do root = root.rules[root.name] end
    local of = root.kind == "record" and root.of or nil
    local ctx = grammar.new_context(iter, result or grammar.new_result(of), user)
    ctx._root, ctx._kind = root, root.kind
    return ctx
end

-- The value of what was parsed; of a sequence the fields, which have no record of their own.
local function give(ctx, slot)
    if slot and ctx._kind ~= "sequence" then return grammar.read(slot) end
    return ctx._results[1]
end

-- Reads an entity where the iterator stands, which is moved. Gives its value, or nil and what is wrong.
function grammar.methods:parse(iter, result, user)
    local ctx = start(self, iter, result, user)
    local store = ctx.iter.store
    -- What is read of a stream may be changed as long as the whole is not read.
    if store.regions ~= nil and not store.why and ctx.iter.reader then
        local keep = keeps[self]
        if keep == nil then
            keep = not lets_go(self, {})
            keeps[self] = keep
        end
        if keep then grammar.hold(ctx) end
    end
    local ok, slot = run(self, ctx)
    grammar.unmark_all(ctx)
    if not ok then return nil, ctx._error end
    return give(ctx, slot)
end

-- Writes an entity where the iterator stands, with the values of `init`, and gives it as `parse` does. Numbers are
-- written over the bytes that are there, as far as there are; everything else is put in.
function grammar.methods:create(iter, result, init, user)
    local ctx = start(self, iter, result, user)
    ctx._creating, ctx._init = true, init
    local ok, slot = run(self, ctx, init)
    grammar.unmark_all(ctx)
    if not ok then fail("create: " .. tostring(ctx._error)) end
    return give(ctx, slot)
end

-- The rules that a grammar lets others use.
local Grammar = { __metatable = false }

function Grammar.__index(self, name)
    local inner = rawget(self, grammar)
    local rule = inner.exported[name]
    if rule then return rule end
    local known = {}
    for each in pairs(inner.exported) do known[#known + 1] = each end
    fail(format("grammar '%s' exports no rule '%s'%s", inner.name, tostring(name), P.suggest(name, known)))
end

function Grammar.__newindex(self)
    fail(format("grammar '%s' cannot be changed", rawget(self, grammar).name))
end

function Grammar.__tostring(self) return "grammar: " .. rawget(self, grammar).name end

local function is_grammar(value)
    return type(value) == "table" and P.native.metatable(value) == Grammar
end

-- The functions of a description beside the builders.
local function commands(name, rules, exported)
    local own = {}
    -- A rule's name, to be given later.
    function own.define(rule)
        if type(rule) ~= "string" then fail("define: a name expected, got " .. type(rule)) end
        if not rules[rule] then
            rules[rule] = false
            own.waiting[rule] = new_entity("named", {
                name = rule, rules = rules, parse_with = parse_named,
            })
        end
        return own.waiting[rule]
    end
    -- Rules that can be used outside.
    function own.export(...)
        for i = 1, select("#", ...) do
            local rule = select(i, ...)
            local called = is_entity(rule) and (rule.named or rule.kind == "named" and rule.name)
            if not called then fail(format("export: argument %d is no rule of '%s'", i, name)) end
            exported[called] = rule
        end
    end
    -- All rules of another grammar.
    function own.extend(other)
        if not is_grammar(other) then fail("extend: a grammar expected, got " .. type(other)) end
        for rule, entity in pairs(rawget(other, grammar).exported) do
            rules[rule], exported[rule] = entity, entity
        end
    end
    -- For `count` and conditions: a field of what the caller of `parse` gave.
    function own.param(field)
        return function(_, ctx) return ctx.user and ctx.user[field] end
    end
    own.waiting = {}
    return own
end

local function environment(rules, own, globals)
    local plain = {}
    return setmetatable({}, {
        __metatable = false,
        __index = function(_, key)
            if plain[key] ~= nil then return plain[key] end
            local rule = rules[key]
            if rule then return rule end
            if rule == false then return own.waiting[key] end
            if key ~= "waiting" and own[key] ~= nil then return own[key] end
            if build[key] ~= nil then return build[key] end
            return globals[key]
        end,
        __newindex = function(_, key, value)
            if is_entity(value) and type(key) == "string" then
                rules[key] = with(value, "named", key)
            else
                plain[key] = value
            end
        end,
    })
end

-- A rule that was only defined, or that is nothing but itself under other names, would never be found.
local function must_be_given(name, rules, rule)
    local entity, seen = rules[rule], {}
    while entity and entity.kind == "named" and not seen[entity] do
        seen[entity] = true
        entity = entity.rules[entity.name]
    end
    if not entity or seen[entity] then
        fail(format("grammar '%s': '%s' is defined, but nothing is given to it", name, rule))
    end
end

local function new(name, describe)
    if type(describe) ~= "function" then
        fail("haka.grammar.new: a function expected, got " .. type(describe))
    end
    if not P.live.loading then
        fail("haka.grammar.new: grammars are made while the script loads, not in an event")
    end
    name = tostring(name or "<unnamed>")
    local rules, exported = {}, {}
    local own = commands(name, rules, exported)
    setfenv(describe, environment(rules, own, P.globals))
    describe()
    for rule in pairs(rules) do must_be_given(name, rules, rule) end
    for rule, entity in pairs(exported) do
        if entity.kind == "named" then exported[rule] = rules[entity.name] end
    end
    return setmetatable({ [grammar] = { name = name, exported = exported } }, Grammar)
end

P.haka_grammar = P.strict("haka.grammar", {
    new = new, converter = grammar.converter, Result = grammar.Result, ArrayResult = grammar.ArrayResult,
})
rawset(P.haka_grammar, "debug", false)
