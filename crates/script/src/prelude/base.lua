-- What every other part of the prelude stands on: errors that name the script's own line, calls
-- that cannot swallow the error of a limit, and a sandbox without the doors out.
--
-- `P` is the table that the parts share; `P.native` holds what Rust lends, and `P.globals` is what
-- scripts see. The prelude's own globals are a copy made before any script ran, so that a script
-- which redefines `type` confuses only itself.
local P = ...
local native, G = P.native, P.globals
local error, type, tostring, select = error, type, tostring, select
local pairs, ipairs, setmetatable = pairs, ipairs, setmetatable
local raw_pcall, raw_xpcall, raw_resume = pcall, xpcall, coroutine.resume
local format, concat = string.format, table.concat

P.raw = {
    xpcall = raw_xpcall, create = coroutine.create, resume = raw_resume, yield = coroutine.yield,
    running = coroutine.running, status = coroutine.status,
}

-- The running event; `generation` tells its packets and data from those of earlier ones.
-- `timers`: some are set. `odd`: they are, or the last event has left something that the next one must put away.
P.live = { verdict = 0, generation = 0, at = 0, index = 0, flow = nil, loading = true, timers = false, odd = false }

function P.fail(text)
    error(native.where() .. text, 0)
end

-- A fault of the script's text: collected while it loads, so that all can be shown at once.
function P.fault(text)
    if P.live.loading then
        native.fault(text)
    else
        P.fail(text)
    end
end

-- "; did you mean x" or nothing.
function P.suggest(name, known)
    local near = native.suggest(tostring(name), known)
    return near and format("; did you mean %s", near) or ""
end

-- A table whose unknown fields are errors. `later` names fields that are known but not there yet.
function P.strict(what, fields, later)
    local known = {}
    for key in pairs(fields) do known[#known + 1] = key end
    return setmetatable(fields, {
        __index = function(_, key)
            if later and later[key] then
                P.fail(format("%s.%s is not supported yet", what, key))
            end
            P.fail(format("%s: unknown field '%s'%s", what, tostring(key), P.suggest(key, known)))
        end,
    })
end

-- A function in place of `raw` that calls it by its own name, which is what the interpreter's messages say:
-- `before` is called first, and what it gives goes through `after`.
local compile = loadstring
function P.named(name, raw, before, after)
    local text = format("local before, after, library = ... return function(...) "
        .. "before() return after(library.%s(...)) end", name)
    return compile(text, "=tollgate")(before, after, { [name] = raw })
end

-- An error inside the prelude is the fault of the script's line that called it.
local find, sub = string.find, string.sub
local function placed(e)
    if type(e) == "userdata" then e = tostring(e) end
    if type(e) == "string" then
        local _, last = find(e, "^tollgate:%d+: ")
        if last then return native.where() .. sub(e, last + 1) end
    end
    return e
end

-- The error of a limit passes through every pcall, or `while true do pcall(work) end` would never
-- end. Other errors of ours become text, as scripts expect.
local function settle(ok, e, ...)
    if not ok then
        -- The text first: without memory nothing of ours can be called.
        if e == "not enough memory" or native.exceeded() then error(e, 0) end
        e = placed(e)
    end
    return ok, e, ...
end

-- A call from C back into Lua takes a piece of the thread's own stack, which ends the program when it is full:
-- a coroutine that resumes another, a function given to gsub or sort, a __tostring. Here they are counted.
-- `base` is what the running coroutine began with, since an error takes back what was counted in it only.
local NESTED_MAX = 64
local nested, base = 0, 0

-- Nothing is nested once an error has come out.
function P.surface() nested, base = 0, 0 end

local function deeper()
    if nested >= NESTED_MAX then P.fail(format("calls are nested deeper than %d", NESTED_MAX)) end
    nested = nested + 1
end

local function leave(...)
    nested = nested - 1
    return ...
end

-- The same function, counted.
function P.counted(name, raw) return P.named(name, raw, deeper, leave) end

-- For the prelude's other parts, and for scripts.
tostring = P.counted("tostring", tostring)
getfenv(1).tostring, G.tostring = tostring, tostring

local function back(depth, ok, ...)
    if not ok then nested = base + depth end
    return ok, ...
end

function G.pcall(f, ...)
    return settle(back(nested - base, raw_pcall(f, ...)))
end

function G.xpcall(f, handler, ...)
    -- The handler of a limit's error would run with the hook still off, so without any limit.
    return settle(back(nested - base, raw_xpcall(f, function(e)
        if e == "not enough memory" or native.exceeded() then return e end
        return handler(placed(e))
    end, ...)))
end

local function resumed(depth, outer, ...)
    nested, base = depth, outer
    return ...
end

local function resume(co, ...)
    local depth, outer = nested, base
    deeper()
    base = nested
    return resumed(depth, outer, raw_resume(co, ...))
end
P.raw.resume = resume

function coroutine.resume(co, ...)
    return settle(resume(co, ...))
end

local function unwrap(ok, ...)
    if not ok then error((...), 0) end
    return ...
end

local raw_create = coroutine.create
function coroutine.wrap(f)
    local co = raw_create(f)
    return function(...) return unwrap(settle(resume(co, ...))) end
end

function G.print(...)
    local parts = {}
    for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
    native.log("info", "print", concat(parts, "\t"))
end

-- Bytecode can break the interpreter, so nothing may load or make any; the rest are doors out.
string.dump = nil
for _, name in ipairs {
    "load", "loadstring", "loadfile", "dofile", "getfenv", "setfenv", "newproxy", "collectgarbage",
    "gcinfo", "module", "jit", "package", "io", "os", "ffi",
} do
    G[name] = nil
end
