-- The `haka` table, and `require`.
local P = ...
local native, fail, G = P.native, P.fail, P.globals
local tostring, pairs, ipairs, format = tostring, pairs, ipairs, string.format

local function set(...)
    local all = {}
    for _, name in ipairs { ... } do all[name] = true end
    return all
end

G.haka = P.strict("haka", {
    rule = P.rule, rule_group = P.rule_group, alert = P.alert, log = P.logger("external"),
    log_section = function(name) return P.logger(tostring(name)) end,
    events = P.events("haka", { started = P.core.started, exiting = P.core.exiting }),
    vbuffer_from = P.vbuffer_from, vbuffer_allocate = P.vbuffer_allocate,
    dissector = { new = P.new_dissector }, helper = P.helper, patterns = P.patterns,
    grammar = P.haka_grammar, state_machine = P.haka_state_machine,
    network_time = function() return P.now() end,
}, set("interactive_rule", "console", "pcall", "on_exit"))

-- Modules of ours, by the name that `require` takes: the function that makes each, then the module.
local made = {}
local names = {}
for name in pairs(P.modules) do names[#names + 1] = name end

-- A module of the script's own, beside it: run once.
local function own(name)
    local run, problem = native.module(name)
    if not run then
        fail(format("require '%s': %s%s", name, problem, P.suggest(name, names)))
    end
    -- Who asks for it again while it runs gets true, as in Lua.
    made[name] = true
    local value = run(name)
    if value ~= nil then made[name] = value end
    return made[name]
end

local asked = {}

-- Whether the script means connections, not only packets: Haka follows none unless it is asked for
-- the module.
function P.follows_connections()
    local core = P.core
    return asked["protocol/tcp_connection"] or asked["protocol/http"]
        or #core.new_connection.list + #core.receive_packet.list + #core.receive_data.list
            + #core.end_connection.list > 0
        or P.has_dissectors or false
end

function P.asks_for_http() return asked["protocol/http"] end

function G.require(name)
    name = tostring(name)
    asked[name] = true
    local module = made[name]
    if module ~= nil then return module end
    local make = P.modules[name]
    if make then
        module = make(P, set)
        made[name] = module
        return module
    end
    return own(name)
end

-- Lua's own, which are there anyway.
for _, name in ipairs { "string", "table", "math", "bit", "debug", "coroutine" } do made[name] = G[name] end

-- Protocols are globals too, whether asked for or not.
for _, name in ipairs {
    "raw", "ipv4", "ipv6", "tcp", "udp", "icmp", "tcp_connection", "udp_connection", "dns", "http",
} do
    G[name] = G.require("protocol/" .. name)
end
asked = {}
P.asked = asked
