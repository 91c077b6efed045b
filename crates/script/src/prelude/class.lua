-- Haka's classes: `class.class("Name", super)`, methods in `.method`, properties in `.property`,
-- instances by `Name:new(...)`, which calls `__init`.
local P = ...
local native, fail = P.native, P.fail
local setmetatable, rawget, rawset, type, tostring = setmetatable, rawget, rawset, type, tostring
local next, ipairs = next, ipairs
local format = string.format

local class, Class = {}, {}
P.class = class

local function is_class(value)
    return type(value) == "table" and native.metatable(value) == Class
end

-- What `key` is in the `part` ("method" or "property") of a class or the nearest of its ancestors.
local function find(of, part, key)
    while of do
        local found = rawget(rawget(of, part), key)
        if found ~= nil then return found end
        of = rawget(of, "super")
    end
end

local META = {
    "__tostring", "__eq", "__lt", "__le", "__len", "__call", "__concat", "__add", "__sub", "__mul",
    "__div", "__unm",
}

-- Where an object keeps properties of its own: `fields` by name, `order` of their names.
local OWN = {}
P.OWN = OWN

-- Gives an object a property of its own, or only the place for one: a table with `get(self, property)` and
-- `set(self, value, property)`.
function P.own_property(self, name, property)
    local own = rawget(self, OWN)
    if not own then
        own = { fields = {}, order = {} }
        rawset(self, OWN, own)
    end
    if name == nil then return end
    if own.fields[name] == nil then own.order[#own.order + 1] = name end
    own.fields[name] = property
end

local function add_property(self, name, get, set)
    P.own_property(self, name, {
        get = get and function(object) return get(object) end,
        set = set and function(object, value) return set(object, value) end,
    })
end

local function instance_meta(of)
    local meta = { class = of }
    function meta.__index(self, key)
        local own = rawget(self, OWN)
        local field = own and own.fields[key]
        if field then
            if not field.get then
                fail(format("%s: property '%s' cannot be read", of.name, tostring(key)))
            end
            return field.get(self, field)
        end
        local method = find(of, "method", key)
        if method ~= nil then return method end
        local property = find(of, "property", key)
        if property then
            if not property.get then
                fail(format("%s: property '%s' cannot be read", of.name, tostring(key)))
            end
            return property.get(self)
        end
        if key == "addproperty" then return add_property end
        local index = find(of, "method", "__index")
        if index then return index(self, key) end
    end
    function meta.__newindex(self, key, value)
        local own = rawget(self, OWN)
        local field = own and own.fields[key]
        if field then
            if not field.set then
                fail(format("%s: property '%s' is read-only", of.name, tostring(key)))
            end
            return field.set(self, value, field)
        end
        local property = find(of, "property", key)
        if property then
            if not property.set then
                fail(format("%s: property '%s' is read-only", of.name, tostring(key)))
            end
            return property.set(self, value)
        end
        local index = find(of, "method", "__newindex")
        if index then return index(self, key, value) end
        rawset(self, key, value)
    end
    -- Its own properties first, then what was stored in it.
    function meta.__pairs(self)
        local own = rawget(self, OWN)
        local order, at = own and own.order or {}, 0
        return function(_, last)
            at = at + 1
            local name = order[at]
            if name ~= nil then return name, self[name] end
            local key, value = next(self, at > #order + 1 and last or nil)
            if key == OWN then key, value = next(self, key) end
            return key, value
        end, self, nil
    end
    for _, name in ipairs(META) do
        if find(of, "method", name) then
            meta[name] = function(...) return find(of, "method", name)(...) end
        end
    end
    return meta
end

-- Fields of the class itself come first, then those of its ancestors, then methods, so that
-- `super.__init(self)` finds what it should.
function Class.__index(of, key)
    local up = rawget(of, "super")
    while up do
        local found = rawget(up, key)
        if found ~= nil then return found end
        up = rawget(up, "super")
    end
    if key == "new" then return class.new end
    return find(of, "method", key)
end

function Class.__tostring(of) return format("class: %s", of.name) end
function Class.__call(of, ...) return class.new(of, ...) end

function class.class(name, super)
    if super ~= nil and not is_class(super) then fail("class: the parent must be a class") end
    return setmetatable({
        name = tostring(name), super = super or false, method = {}, property = {}, meta = false,
    }, Class)
end

function class.new(of, ...)
    local meta = rawget(of, "meta")
    if not meta then
        meta = instance_meta(of)
        rawset(of, "meta", meta)
    end
    local self = setmetatable({}, meta)
    local init = find(of, "method", "__init")
    if init then init(self, ...) end
    return self
end

function class.classof(value)
    if is_class(value) then return value end
    local meta = type(value) == "table" and native.metatable(value)
    local of = type(meta) == "table" and rawget(meta, "class")
    return is_class(of) and of or nil
end

function class.super(of)
    if not is_class(of) then of = class.classof(of) end
    return of and rawget(of, "super") or nil
end

function class.isclass(value) return is_class(value) end

function class.isa(value, wanted)
    local of = class.classof(value)
    while of do
        if of == wanted then return true end
        of = rawget(of, "super")
    end
    return false
end

-- For `for`: a class and everything above it.
function class.ancestors(of)
    return function(_, last)
        if last == nil then return of end
        return rawget(last, "super") or nil
    end
end

setmetatable(class, { __call = function(_, ...) return class.class(...) end })
