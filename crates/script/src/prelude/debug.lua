-- `debug` as scripts have it: a traceback of their own lines, and `pprint`.
local P = ...
local native, G = P.native, P.globals
local type, tostring, pairs, next, format = type, tostring, pairs, next, string.format
local concat, sort, rep = table.concat, table.sort, string.rep

local INDENT = "    "
local DEPTH_MAX, LINES_MAX = 16, 1000

-- Numbers first, then by name.
local function by_name(a, b)
    local x, y = type(a) == "number", type(b) == "number"
    if x and y then return a < b end
    if x ~= y then return x end
    return tostring(a) < tostring(b)
end

-- Appends to `lines` what `value` is; a table by its fields in order, and each only once.
local function describe(lines, value, indent, title, seen, depth)
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
        line = line .. (class and format("class: %s", class.name) or "table")
        if seen[value] then
            lines[#lines + 1] = line .. " { recursive }"
            return
        end
        if next(value) == nil or depth == 0 then
            lines[#lines + 1] = line .. (next(value) == nil and " {}" or " { … }")
            return
        end
        seen[value] = true
        lines[#lines + 1] = line .. " {"
        local keys = {}
        for key in pairs(value) do keys[#keys + 1] = key end
        sort(keys, by_name)
        for _, key in ipairs(keys) do
            describe(lines, value[key], indent + 1, tostring(key) .. " : ", seen, depth - 1)
        end
        line = rep(INDENT, indent) .. "}"
        seen[value] = nil
    end
    lines[#lines + 1] = line
end

G.debug = {
    traceback = function(text) return native.traceback(text and tostring(text)) end,
    -- Prints a value readably; fields of tables in order of their names.
    pprint = function(value, indent, depth)
        local lines = {}
        local title = type(indent) == "string" and indent or ""
        describe(lines, value, 0, title, {}, type(depth) == "number" and depth or DEPTH_MAX)
        native.log("info", "print", concat(lines, "\n"))
    end,
}
