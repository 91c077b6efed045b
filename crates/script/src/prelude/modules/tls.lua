-- protocol/tls: what TLS says before it is encrypted. The hellos of a connection are read from its
-- bytes, which wait until a hello is there as a whole, so that a rule can refuse a name before the server
-- has heard it.
local P = ...
local native, fail, fault, live = P.native, P.fail, P.fault, P.live
local format, type = string.format, type

local client_hello = P.event("tls", "client_hello")
local server_hello = P.event("tls", "server_hello")

local Tls = P.new_dissector { type = P.TcpFlowDissector, name = "tls" }
-- Bytes can be held only where they could be changed.
P.edits = true

-- Whether the connection goes on.
local function tell(event, flow, hello)
    local list = event.list
    for i = 1, #list do
        list[i].eval(flow, hello)
        if live.verdict >= 1 then return false end
    end
    return true
end

-- One alert for a connection; it goes on, and nothing more is read of it.
local function complain(self, direction, why)
    if self.is_over then return end
    self.is_over = true
    local flow = self.flow
    local from, to = flow.srcip, flow.dstip
    if direction == "down" then from, to = to, from end
    P.alert {
        description = "tls: " .. why, severity = "low",
        sources = P.alert.address(from), targets = P.alert.address(to),
    }
end

-- `fed` bytes from the iterator on were looked at: they wait while a hello may be in them.
function Tls.method:receive_streamed(iterator, direction)
    local is_client = direction == "up"
    local event = is_client and client_hello or server_hello
    local reader, fed = native.tls.reader(is_client), 0
    while not self.is_over do
        local there = P.want(iterator, fed + 1)
        if there <= fed or self.is_over then return end
        local store = iterator.store
        local text, at = P.lend(store, P.place(iterator) - store.base + fed)
        local taken, is_partial, what, value = native.tls.feed(reader, text, at, there - fed)
        fed = fed + taken
        if what == "hello" then
            -- A client's second hello comes only if the server asks for it.
            if not is_client and not value.retry then self.is_over = true end
            if not tell(event, self.flow, value) then return end
        elseif what == "malformed" then
            return complain(self, direction, value)
        elseif what == "done" then
            return
        end
        if not is_partial then
            iterator:advance(fed)
            fed = 0
        end
    end
end

local function select_dissector(flow)
    if not P.is_flow(flow) then fail(format("tls.dissect: a flow expected, got %s", type(flow))) end
    Tls:dissect(flow)
end

local tls = P.strict("tls", {
    events = P.events("tls", { client_hello = client_hello, server_hello = server_hello }),
    dissect = select_dissector,
    install_tcp_rule = function(port)
        if type(port) ~= "number" then
            return fault(format("tls.install_tcp_rule: a port expected, got %s", type(port)))
        end
        Tls:install_tcp_rule(port)
    end,
})
P.globals.tls = tls
return tls
