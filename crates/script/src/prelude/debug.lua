-- `debug` as scripts have it: a traceback of their own lines, and `pprint`.
local P = ...
local native, G = P.native, P.globals
local type, tostring, pairs, ipairs, format = type, tostring, pairs, ipairs, string.format
local concat, sort, rep = table.concat, table.sort, string.rep

local sub = string.sub

local INDENT, INDENT_CHARS_MAX = "  ", 100
local TRACEBACK_CHARS_MAX = 4096
local DEPTH_MAX, LINES_MAX = 16, 1000

-- Numbers first, then by name.
local function by_name(a, b)
    local x, y = type(a) == "number", type(b) == "number"
    if x and y then return a < b end
    if x ~= y then return x end
    return tostring(a) < tostring(b)
end

-- The fields of a table that is shown, by name: those of a packet are not in the table itself.
local function fields_of(value)
    local meta, names = native.metatable(value), {}
    if meta and meta.fields then
        for i, name in ipairs(meta.fields) do names[i] = name end
    else
        for key in pairs(value) do names[#names + 1] = key end
    end
    sort(names, by_name)
    return names
end

local function is_hidden(hide, name, value)
    for _, each in ipairs(hide) do
        if each(name, value) then return true end
    end
    return false
end

-- Appends to `lines` what `value` is; a table by its fields in order, and each only once.
local function describe(lines, value, indent, title, seen, depth, hide)
    if #lines >= LINES_MAX then return end
    local kind = type(value)
    local line = rep(INDENT, indent) .. title
    if kind == "string" then
        line = line .. format('"%s"', value)
    elseif kind == "number" or kind == "boolean" or kind == "nil" then
        line = line .. tostring(value)
    elseif kind ~= "table" then
        line = line .. kind
    elseif P.kind_of_buffer(value) then
        line = line .. format('"%s"', value:asstring())
    else
        local meta = native.metatable(value)
        if meta and meta.__tostring and not P.class.classof(value) then
            lines[#lines + 1] = line .. tostring(value)
            return
        end
        local class = P.class.classof(value)
        local name = class and class.name or meta and meta.name
        line = line .. (name and format("class: %s", name) or "table")
        if seen[value] then
            lines[#lines + 1] = line .. " { recursive }"
            return
        end
        local keys = fields_of(value)
        if #keys == 0 or depth == 0 then
            lines[#lines + 1] = line .. (#keys == 0 and " {}" or " { … }")
            return
        end
        seen[value] = true
        lines[#lines + 1] = line .. " {"
        for _, key in ipairs(keys) do
            local field = value[key]
            if field ~= nil and not is_hidden(hide, key, field) then
                describe(lines, field, indent + 1, tostring(key) .. " : ", seen, depth - 1, hide)
            end
        end
        line = rep(INDENT, indent) .. "}"
        seen[value] = nil
    end
    lines[#lines + 1] = line
end

G.debug = {
    traceback = function(text)
        return native.traceback(text and sub(tostring(text), 1, TRACEBACK_CHARS_MAX))
    end,
    -- Prints a value readably, each line behind `indent`; fields of tables in order of their names. `hide` is a function
    -- of name and value, or a list of them, `out` what prints a line instead of `print`.
    pprint = function(value, indent, depth, hide, out)
        local lines = {}
        if type(depth) ~= "number" or depth < 0 or depth > DEPTH_MAX then depth = DEPTH_MAX end
        if type(hide) == "function" then hide = { hide } end
        describe(lines, value, 0, "", {}, depth, hide or {})
        if type(indent) == "string" then
            indent = sub(indent, 1, INDENT_CHARS_MAX)
            for i, line in ipairs(lines) do lines[i] = indent .. line end
        end
        if out then
            for _, line in ipairs(lines) do out(line) end
            return
        end
        native.log("info", "print", concat(lines, "\n"))
    end,
    hide_underscore = function(name) return type(name) == "string" and name:sub(1, 1) == "_" end,
    hide_function = function(_, value) return type(value) == "function" end,
}
