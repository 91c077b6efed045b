-- Entities that are made of others.
local P = ...
local fail, grammar, place, class = P.fail, P.grammar, P.place, P.class
local build, methods, with, run = grammar.build, grammar.methods, grammar.with, grammar.run
local new_entity, must_be_entity = grammar.new_entity, grammar.must_be_entity
local must_be_function, is_entity = grammar.must_be_function, grammar.is_entity
local type, tostring, pairs, ipairs, format = type, tostring, pairs, ipairs, string.format

-- A sender could make an array grow for ever, so it ends somewhere.
local ELEMENTS_MAX = 65536

local function entities(what, list)
    if type(list) ~= "table" or is_entity(list) then fail(what .. ": a list of entities expected") end
    local of = {}
    for i, entity in ipairs(list) do of[i] = must_be_entity(format("%s: entity %d", what, i), entity) end
    for key in pairs(list) do
        if of[key] == nil then fail(format("%s: there is nothing but a list in it, no '%s'", what, tostring(key))) end
    end
    return of
end

-- A name for the value of an entity, in the record that it is part of.
function build.field(name, entity)
    if type(name) ~= "string" then fail("field: a name expected, got " .. type(name)) end
    return with(must_be_entity("field", entity), "field", name)
end

-- Parses a part of a record. If that gives a record without a name, however deep inside branches, its fields
-- are those of the record around: nobody could ask for them otherwise.
local function run_part(entity, ctx, given)
    local ok, slot = run(entity, ctx, given)
    if ok and slot and not (entity.field or slot.entity or slot.name) then
        grammar.absorb(ctx:result(), slot.value)
    end
    return ok, slot
end

local function run_all(list, ctx)
    for i = 1, #list do
        if not run_part(list[i], ctx) then return false end
    end
    return true
end

local function parse_record(entity, ctx)
    local results, init = ctx._results, ctx._init
    local result
    if ctx._root == entity then
        result = results[1]
        ctx._root = false
    else
        result = grammar.new_result(entity.of)
        results[#results + 1] = result
        if ctx._value ~= nil then ctx._init = ctx._value end
    end
    local count = #results
    local ok = run_all(entity.list, ctx)
    if ok and entity.computed then
        for name, compute in pairs(entity.computed) do grammar.put_computed(result, name, compute) end
    end
    if ok and entity.at_end then
        for _, func in ipairs(entity.at_end) do func(result, ctx) end
        ok = not ctx._error
    end
    if count > 1 then results[count] = nil end
    ctx._init = init
    return ok, { value = result }
end

-- One after the other, with a result of their own.
function build.record(list)
    return new_entity("record", { list = entities("record", list), parse_with = parse_record })
end

-- Fields that are computed from the others: `name = func(result)`; functions without a name are called at the
-- end of the record.
function methods:extra(functions)
    if self.kind ~= "record" then fail("extra: only for record") end
    if type(functions) ~= "table" then fail("extra: a table of functions expected") end
    local computed, at_end = {}, {}
    for name, func in pairs(functions) do
        must_be_function("extra", func)
        if type(name) == "string" then computed[name] = func end
    end
    for i, func in ipairs(functions) do at_end[i] = func end
    return with(with(self, "computed", computed), "at_end", at_end)
end

local function parse_sequence(entity, ctx)
    local value
    for _, each in ipairs(entity.list) do
        local ok, slot = run_part(each, ctx, ctx._value)
        if not ok then return false end
        value = slot or value
    end
    return true, value
end

-- One after the other; their fields are those of the record around.
function build.sequence(list)
    return new_entity("sequence", { list = entities("sequence", list), parse_with = parse_sequence })
end

-- Bits passed since a place.
local function passed(ctx, from) return (place(ctx.iter) - from) * 8 + ctx._bit end

local function parse_union(entity, ctx)
    local start = grammar.remember(ctx)
    local from, furthest, bit = place(ctx.iter), ctx.iter:copy(), ctx._bit
    local longest = ctx._bit
    for i, each in ipairs(entity.list) do
        if i > 1 then
            ctx.iter:move_to(start.iter)
            ctx._bit = start.bit
        end
        if not run_part(each, ctx) then
            grammar.settle(start)
            return false
        end
        if passed(ctx, from) > longest then
            longest, bit = passed(ctx, from), ctx._bit
            furthest = ctx.iter:copy()
        end
    end
    grammar.settle(start)
    ctx.iter:move_to(furthest)
    ctx._bit = bit
    return true
end

-- All of them from the same place on; what comes next stands behind the longest.
function build.union(list)
    return new_entity("union", { list = entities("union", list), parse_with = parse_union })
end

local function parse_try(entity, ctx)
    local start = grammar.remember(ctx)
    local given = ctx._value
    for i, each in ipairs(entity.list) do
        if i > 1 then grammar.come_back(ctx, start) end
        local ok, slot = run(each, ctx, given)
        if ok then
            grammar.settle(start)
            return true, slot
        end
    end
    grammar.settle(start)
    return false
end

-- The first that parses.
function build.try(list)
    local of = entities("try", list)
    if #of == 0 then fail("try: at least one entity expected") end
    return new_entity("try", { list = of, parse_with = parse_try })
end

local function parse_branch(entity, ctx)
    local given = ctx._value
    local key = entity.selector(ctx:result(), ctx)
    if ctx._error then return false end
    local case = entity.cases[key]
    if key == nil or case == nil then case = entity.default end
    if case == "continue" then return true end
    if case == "error" then return ctx:error("no case for '%s'", tostring(key)) end
    return run(case, ctx, given)
end

-- The case whose key `selector(result, ctx)` gives. `default` may be an entity, "continue" or "error".
function build.branch(cases, selector)
    if type(cases) ~= "table" or is_entity(cases) then fail("branch: a table of cases expected") end
    must_be_function("branch: selector", selector)
    local of, default = {}, cases.default
    if default == nil then default = "error" end
    if default ~= "error" and default ~= "continue" then must_be_entity("branch: default", default) end
    for key, case in pairs(cases) do
        if key ~= "default" then of[key] = must_be_entity(format("branch: case '%s'", tostring(key)), case) end
    end
    return new_entity("branch", {
        cases = of, default = default, selector = selector, parse_with = parse_branch,
    })
end

local function parse_optional(entity, ctx)
    local given, present = ctx._value, entity.present
    if present then
        local is = present(ctx:result(), ctx)
        if ctx._error then return false end
        if not is then return true end
        return run(entity.element, ctx, given)
    end
    if ctx._creating and given == nil then return true end
    local start = grammar.remember(ctx)
    local ok, slot = run(entity.element, ctx, given)
    if not ok then grammar.come_back(ctx, start) end
    grammar.settle(start)
    return true, ok and slot or nil
end

-- Only if `present(result, ctx)` is true; without it, if it parses.
function build.optional(entity, present)
    must_be_entity("optional", entity)
    if type(present) == "string" then
        local name = present
        present = function(result) return result[name] end
    end
    if present ~= nil then must_be_function("optional", present) end
    return new_entity("optional", {
        element = entity, present = present, parse_with = parse_optional,
    })
end

-- Whether another element follows those in `array`.
local function more(entity, ctx, array, given)
    local count = #array
    if entity.counted then
        local wanted = grammar.count_now(entity, ctx)
        return wanted and count < wanted
    elseif entity.stop then
        return not entity.stop(array[count], ctx)
    elseif entity.go_on then
        return entity.go_on(array[count], ctx)
    elseif ctx._creating then
        return type(given) == "table" and count < #given
    end
    return ctx.iter:wait()
end

local function parse_array(entity, ctx)
    local iter, given = ctx.iter, ctx._value
    local array = grammar.new_array(entity.of, entity, ctx)
    local store = iter.store
    -- Where nothing can be put in or taken out, nobody asks where the elements lie.
    local keep = not store.why
    while more(entity, ctx, array, given) do
        local from, bit = place(iter), ctx._bit
        local init
        if type(given) == "table" then init = given[#array + 1] end
        local ok, slot = run(entity.element, ctx, init)
        if not ok then return false end
        local to = place(iter)
        if #array >= ELEMENTS_MAX then return ctx:error("more than %d elements", ELEMENTS_MAX) end
        if to == from and bit == ctx._bit and not entity.counted then
            return ctx:error("an element of an array takes no bytes")
        end
        local value = true
        if slot then value = grammar.read(slot) end
        grammar.add_element(array, value, keep and P.new_sub(store, from, to) or nil)
    end
    if ctx._error then return false end
    grammar.end_array(array, iter)
    return true, { value = array }
end

-- The same again and again: `:count(n)`, `:untilcond(f)`, `:whilecond(f)`, or up to the end.
function build.array(entity)
    return new_entity("array", {
        element = must_be_entity("array", entity), parse_with = parse_array,
    })
end

local function array_condition(key)
    return function(self, func)
        if self.kind ~= "array" then fail("untilcond, whilecond: only for array") end
        return with(self, key, must_be_function("array", func))
    end
end
-- `func(last, ctx)` is asked before each element, with the one before it, or nil.
methods.untilcond, methods.whilecond = array_condition("stop"), array_condition("go_on")

-- `func(ctx, entity, init)` makes the bytes of an element that is put in: a buffer.
function methods:creator(func) return with(self, "create_with", must_be_function("create", func)) end

-- The class of the results, made from `haka.grammar.Result` or `ArrayResult`.
function methods:result(of)
    if not class.isa(of, grammar.Result) then fail("result: a class of haka.grammar.Result expected") end
    return with(self, "of", of)
end

local function does_nothing(kind, act)
    return new_entity(kind, { parse_with = act })
end

-- Fails unless `func(result, ctx)` gives true.
function build.verify(func, message)
    must_be_function("verify", func)
    return does_nothing("verify", function(_, ctx)
        if func(ctx:result(), ctx) then return true end
        return ctx._error and false or ctx:error(nil, tostring(message or "verification failed"))
    end)
end

function build.execute(func)
    must_be_function("execute", func)
    return does_nothing("execute", function(_, ctx)
        func(ctx:result(), ctx)
        return not ctx._error
    end)
end

build.empty = does_nothing("empty", function() return true end)

function build.error(message)
    return does_nothing("error", function(_, ctx) return ctx:error(nil, tostring(message)) end)
end

-- Bytes from here on are held until `release`, and may be changed; with `readonly` a copy is kept.
local function retain(readonly)
    return does_nothing("retain", function(_, ctx)
        ctx:mark(readonly)
        return true
    end)
end
build.retain = with(retain(false), "called", retain)

-- Without a `retain`: what was read so far goes on, and is only read from now on.
build.release = does_nothing("release", function(_, ctx)
    ctx:unmark()
    return true
end)
