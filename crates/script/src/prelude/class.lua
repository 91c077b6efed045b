-- Haka's classes: `class.class("Name", super)`, methods in `.method`, properties in `.property`,
-- instances by `Name:new(...)`, which calls `__init`.
local P = ...
local native, fail = P.native, P.fail
local setmetatable, rawget, rawset, type, tostring = setmetatable, rawget, rawset, type, tostring
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

local function instance_meta(of)
    local meta = { class = of }
    function meta.__index(self, key)
        local method = find(of, "method", key)
        if method ~= nil then return method end
        local property = find(of, "property", key)
        if property then
            if not property.get then
                fail(format("%s: property '%s' cannot be read", of.name, tostring(key)))
            end
            return property.get(self)
        end
        local index = find(of, "method", "__index")
        return index and index(self, key)
    end
    function meta.__newindex(self, key, value)
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
