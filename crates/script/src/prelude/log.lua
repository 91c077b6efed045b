-- haka.log and haka.log_section.
local P = ...
local native, fail = P.native, P.fail
local setmetatable, tostring, select, format = setmetatable, tostring, select, string.format
local raw_pcall = pcall

function P.log(level, section, message) native.log(level, section, message) end

-- Without arguments a stray % is only a %.
local function text(fmt, ...)
    if select("#", ...) == 0 then
        local ok, line = raw_pcall(format, fmt)
        return ok and line or tostring(fmt)
    end
    local ok, line = raw_pcall(format, fmt, ...)
    if not ok then fail("haka.log: " .. tostring(line):gsub("^tollgate:%d+: ", "")) end
    return line
end

function P.logger(section)
    local function at(level)
        return function(...) native.log(level, section, text(...)) end
    end
    local levels = {
        debug = at("debug"), info = at("info"), warning = at("warning"), warn = at("warning"),
        error = at("error"), fatal = at("fatal"),
    }
    return setmetatable(levels, {
        __metatable = false,
        __call = function(_, ...) native.log("info", section, text(...)) end,
        __index = function(_, key) fail(format("haka.log: unknown level '%s'", tostring(key))) end,
    })
end
