-- haka.alert.
local P = ...
local native, fail = P.native, P.fail
local setmetatable, type, tostring, select = setmetatable, type, tostring, select
local pairs, ipairs = pairs, ipairs
local format, concat = string.format, table.concat

local Node, Alert = { __metatable = false }, { __metatable = false, __index = {} }

local function node(kind)
    return function(...)
        local parts = {}
        for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
        return setmetatable({ text = format("%s: %s", kind, concat(parts, ", ")) }, Node)
    end
end

local function is(value, meta)
    return type(value) == "table" and native.metatable(value) == meta
end

-- One node or a list of them, as lines of text.
local function nodes(key, value)
    if is(value, Node) then return { value.text } end
    if type(value) ~= "table" then
        fail(format("haka.alert: %s must be haka.alert.address(...) or service(...), or a list",
            key))
    end
    local lines = {}
    for i, each in ipairs(value) do
        if not is(each, Node) then
            fail(format("haka.alert: %s[%d] must be haka.alert.address(...) or service(...)",
                key, i))
        end
        lines[i] = each.text
    end
    return lines
end

local function refs(value)
    if type(value) ~= "table" or is(value, Alert) then value = { value } end
    local lines = {}
    for i, each in ipairs(value) do
        lines[i] = is(each, Alert) and tostring(each.number) or tostring(each)
    end
    return lines
end

local KEYS = {
    "start_time", "end_time", "description", "severity", "confidence", "completion", "method",
    "sources", "targets", "ref",
}
local KNOWN = {}
for _, key in ipairs(KEYS) do KNOWN[key] = true end

local function raise(spec, number)
    if type(spec) ~= "table" then
        fail(format("haka.alert: a table expected, got %s", type(spec)))
    end
    local plain = {}
    for key, value in pairs(spec) do
        if not KNOWN[key] then
            fail(format("haka.alert: unknown key '%s'%s", tostring(key), P.suggest(key, KEYS)))
        end
        if key == "sources" or key == "targets" then value = nodes(key, value)
        elseif key == "ref" then value = refs(value)
        elseif key == "description" then value = tostring(value)
        elseif (key == "start_time" or key == "end_time") and P.is_time(value) then
            value = value.seconds
        elseif key == "method" then
            if type(value) ~= "table" then fail("haka.alert: method must be a table") end
            for name in pairs(value) do
                if name ~= "description" and name ~= "ref" then
                    fail(format("haka.alert: unknown key 'method.%s'", tostring(name)))
                end
            end
            value = {
                description = value.description and tostring(value.description),
                ref = value.ref and refs(value.ref),
            }
        end
        plain[key] = value
    end
    local given, problem = native.alert(plain, number)
    if not given then fail("haka.alert: " .. problem) end
    return given
end

function Alert.__index:update(spec)
    raise(spec, self.number)
    return self
end

P.alert = setmetatable({ address = node("address"), service = node("service") }, {
    __metatable = false,
    __call = function(_, spec)
        if spec == nil then spec = {} end
        return setmetatable({ number = raise(spec) }, Alert)
    end,
    __index = function(_, key) fail(format("haka.alert: unknown field '%s'", tostring(key))) end,
})
