-- haka.rule, haka.rule_group, and the events they listen to.
local P = ...
local native, fault, live = P.native, P.fault, P.live
local setmetatable, type, pairs, ipairs, tostring = setmetatable, type, pairs, ipairs, tostring
local format = string.format

local DROP_PACKET, DROP = 1, 2
local Event = { __metatable = false }

-- An event of a module. `streamed`: its rules may be coroutines over a stream; `emitter` is "flow"
-- where a dropped packet does not keep later rules from being called.
function P.event(module, name, options)
    local event = { module = module, name = name, list = {} }
    for key, value in pairs(options or {}) do event[key] = value end
    return setmetatable(event, Event)
end

-- The events that the engine raises. Those with a `number` know Rust's heads of their rules by it;
-- `directed` are those whose rules are told a direction.
local core = {
    new_connection = P.event("tcp_connection", "new_connection", { emitter = "flow", number = 0 }),
    receive_packet = P.event("tcp_connection", "receive_packet", { number = 1, directed = true }),
    receive_data = P.event("tcp_connection", "receive_data",
        { streamed = true, number = 2, directed = true }),
    end_connection = P.event("tcp_connection", "end_connection", { number = 3 }),
    started = P.event("haka", "started"),
    exiting = P.event("haka", "exiting"),
}
-- Of packets, by the way they take.
for _, name in ipairs { "raw", "ipv4", "ipv6", "tcp", "udp", "icmp" } do
    core["receive_" .. name] = P.event(name, "receive_packet")
    core["send_" .. name] = P.event(name, "send_packet")
end
P.core = core

-- Stands for an event that does not exist; its fault has been told already.
local NO_EVENT = { list = {} }

-- The `events` table of a module. Naming an event that is not there is a fault at once, whether a
-- rule then uses it or not.
function P.events(module, known, later)
    local names = {}
    for name in pairs(known) do names[#names + 1] = name end
    return setmetatable({}, {
        __metatable = false,
        known = known,
        __newindex = function() fault(module .. ".events is read-only") end,
        __index = function(_, name)
            local event = known[name]
            if event then return event end
            if later and later[name] then
                fault(format("event %s.events.%s is not supported yet", module, name))
            else
                fault(format("unknown event %s.events.%s%s", module, tostring(name),
                    P.suggest(name, names)))
            end
            return NO_EVENT
        end,
    })
end

-- Puts another event into a table that `P.events` has made.
function P.add_event(events, event)
    native.metatable(events).known[event.name] = event
end

-- A key that nobody asks for is passed over, as in Haka, unless it looks like a slip.
local function check_keys(what, spec, known)
    if type(spec) ~= "table" then
        fault(format("%s: a table expected, got %s", what, type(spec)))
        return false
    end
    local names = {}
    for name in pairs(known) do names[#names + 1] = name end
    local good = true
    for key, value in pairs(spec) do
        local wanted = known[key]
        if not wanted then
            local meant = type(key) == "string" and P.suggest(key, names) or ""
            if meant ~= "" then
                fault(format("%s: unknown key '%s'%s", what, key, meant))
                good = false
            end
        elseif wanted ~= "any" and type(value) ~= wanted then
            fault(format("%s: %s must be a %s, got %s", what, key, wanted, type(value)))
            good = false
        end
    end
    return good
end

local function is_event(value)
    return type(value) == "table" and native.metatable(value) == Event
end

-- The event of a rule, or nil after a fault.
local function hook_of(what, spec)
    local hook = spec.hook
    if hook == nil then hook = spec.on end
    if hook == NO_EVENT then return nil end
    if not is_event(hook) then
        fault(format("%s: hook must be an event, got %s", what, type(hook)))
        return nil
    end
    return hook
end

local function streamed_of(what, spec, event)
    local options = spec.options
    if options == nil then return false, true end
    if not check_keys(what .. " options", options, { streamed = "boolean", edits = "boolean" }) then
        return false, false
    end
    if options.streamed and not event.streamed then
        fault(format("%s: %s.events.%s cannot be streamed", what, event.module, event.name))
        return false, false
    end
    if options.edits then P.edits = true end
    return options.streamed or false, true
end

local function must_be_loading(what)
    if not live.loading then
        P.fail(what .. ": rules are made while the script loads, not in an event")
    end
end

local function listen(what, spec, eval)
    local event = hook_of(what, spec)
    if not event then return end
    local streamed, good = streamed_of(what, spec, event)
    if not good then return end
    must_be_loading(what)
    if not P.add_head(what, event, spec) then return end
    local list = event.list
    list[#list + 1] = { eval = eval, streamed = streamed, name = spec.name }
end

local RULE = {
    hook = "any", on = "any", match = "table", eval = "any", options = "table", name = "string",
}
function P.rule(spec, eval, options)
    if is_event(spec) then spec = { hook = spec, eval = eval, options = options } end
    if not check_keys("haka.rule", spec, RULE) then return end
    if type(spec.eval) ~= "function" then
        hook_of("haka.rule", spec)
        return fault(format("haka.rule: eval must be a function, got %s", type(spec.eval)))
    end
    listen("haka.rule", spec, spec.eval)
end

local Group = { __metatable = false, __index = {} }
local rules_of = setmetatable({}, { __mode = "k" })

function Group.__index:rule(spec)
    local eval = spec
    if type(spec) == "table" then
        if not check_keys("group:rule", spec, { eval = "any", name = "string" }) then return end
        eval = spec.eval
    end
    if type(eval) ~= "function" then
        return fault(format("group:rule: eval must be a function, got %s", type(eval)))
    end
    must_be_loading("group:rule")
    local rules = rules_of[self]
    rules[#rules + 1] = eval
end

-- One listener: init, the rules until `continue` says no, final. Whatever ends the connection (or,
-- but in new_connection, the packet) ends the group too.
local function group_eval(rules, spec, stop)
    local init, continue, final = spec.init, spec.continue, spec.final
    return function(...)
        if init then
            init(...)
            if live.verdict >= stop then return end
        end
        for i = 1, #rules do
            local result = rules[i](...)
            if live.verdict >= stop then return end
            if continue and not continue(result, ...) then return end
        end
        if final then final(...) end
    end
end

local GROUP = {
    hook = "any", on = "any", match = "table", init = "function", continue = "function", final = "function",
    options = "table", name = "string",
}
function P.rule_group(spec)
    local rules = {}
    local group = setmetatable({}, Group)
    rules_of[group] = rules
    if check_keys("haka.rule_group", spec, GROUP) then
        local hook = spec.hook or spec.on
        local by_flow = type(hook) == "table" and hook.emitter == "flow"
        listen("haka.rule_group", spec, group_eval(rules, spec, by_flow and DROP or DROP_PACKET))
    end
    return group
end
