-- The `haka` table: alerts, logs, and the protocol modules with `require`.
local P = ...
local native, fail, live, G = P.native, P.fail, P.live, P.globals
local setmetatable, type, tostring, select = setmetatable, type, tostring, select
local pairs, ipairs = pairs, ipairs
local format, concat = string.format, table.concat
local raw_pcall = pcall

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
    __call = function(_, spec) return setmetatable({ number = raise(spec) }, Alert) end,
    __index = function(_, key) fail(format("haka.alert: unknown field '%s'", tostring(key))) end,
})

-- Without arguments a stray % is only a %.
local function text(fmt, ...)
    if select("#", ...) == 0 then
        local ok, line = raw_pcall(format, fmt)
        return ok and line or tostring(fmt)
    end
    local ok, line = raw_pcall(format, fmt, ...)
    if not ok then fail("haka.log: " .. tostring(line)) end
    return line
end

local function logger(section)
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

local function set(...)
    local all = {}
    for _, name in ipairs { ... } do all[name] = true end
    return all
end

-- Chooses the dissector of a flow. What it then does with the bytes comes with the dissector.
local function select_dissector(flow, name)
    if not P.is_flow(flow) then
        fail(format("%s.dissect: a flow expected, got %s", name, type(flow)))
    end
    if flow ~= live.flow then
        fail(name .. ".dissect: this is not the connection of the running event")
    end
    live.entry.dissector = name
    native.log("debug", "tcp", format("selecting %s dissector on flow", name))
end

local tcp_events = {
    new_connection = P.event("tcp_connection", "new_connection"),
    receive_packet = P.event("tcp_connection", "receive_packet"),
    receive_data = P.event("tcp_connection", "receive_data"),
    end_connection = P.event("tcp_connection", "end_connection"),
}
local packets = set("receive_packet", "send_packet")

G.raw = P.strict("raw", { events = P.events("raw", {}, packets) }, set("create", "options"))
P.ipv4.events = P.events("ipv4", {}, packets)
P.ipv6.events = P.events("ipv6", {}, packets)
G.ipv4 = P.strict("ipv4", P.ipv4, set("create", "options", "register_protocol"))
G.ipv6 = P.strict("ipv6", P.ipv6, set("create", "options"))
-- The seed hooks `tcp.events.receive_data`; the packets of `tcp` itself are another event.
G.tcp = P.strict("tcp", {
    events = P.events("tcp", {
        new_connection = tcp_events.new_connection,
        receive_data = tcp_events.receive_data,
        end_connection = tcp_events.end_connection,
    }, packets),
}, set("create"))
G.tcp_connection = P.strict("tcp_connection", {
    events = P.events("tcp_connection", tcp_events),
}, set("helper"))
G.http = P.strict("http", {
    events = P.events("http", {},
        set("request", "response", "request_data", "response_data", "receive_data")),
    dissect = function(flow) select_dissector(flow, "http") end,
    install_tcp_rule = function(port)
        if type(port) ~= "number" then
            fail(format("http.install_tcp_rule: a port expected, got %s", type(port)))
        end
        P.rule {
            hook = tcp_events.new_connection,
            name = "install http dissector",
            eval = function(flow, pkt)
                if pkt.dstport == port then select_dissector(flow, "http") end
            end,
        }
    end,
}, set("uri", "cookies"))

local modules = {
    ["protocol/raw"] = G.raw, ["protocol/ipv4"] = G.ipv4, ["protocol/ipv6"] = G.ipv6,
    ["protocol/tcp"] = G.tcp, ["protocol/tcp_connection"] = G.tcp_connection,
    ["protocol/http"] = G.http,
}
local later = set("protocol/udp", "protocol/udp_connection", "protocol/icmp", "protocol/dns",
    "regexp/pcre", "class")
local module_names = {}
for name in pairs(modules) do module_names[#module_names + 1] = name end

function G.require(name)
    local module = modules[name]
    if module then return module end
    name = tostring(name)
    if later[name] then fail(format("require '%s': not supported yet", name)) end
    fail(format("require '%s': no such module%s", name, P.suggest(name, module_names)))
end

G.haka = P.strict("haka", {
    rule = P.rule, rule_group = P.rule_group, alert = P.alert, log = logger("external"),
    log_section = function(name) return logger(tostring(name)) end,
    events = P.events("haka", {}, set("started", "exiting")),
}, set("dissector", "interactive_rule", "grammar", "state_machine", "helper", "vbuffer_from",
    "vbuffer_allocate", "network_time", "console", "pcall", "on_exit"))
