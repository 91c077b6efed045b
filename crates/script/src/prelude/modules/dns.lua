-- protocol/dns: questions and answers over UDP, whole messages as tables: see ../dns_message.lua.
local P, set = ...
local fail, type, format = P.fail, type, string.format

-- Questions that wait for their answer, for each connection; with more of them all are forgotten.
local WAITING_MAX = 1024

local Dns = P.new_dissector { type = P.UdpFlowDissector, name = "dns" }
Dns:register_event("query")
Dns:register_event("response")

function Dns.method:__init(flow)
    P.class.super(Dns).__init(self, flow)
    self.waiting, self.count = {}, 0
end

local function refuse(self, description)
    local flow = self.flow
    P.alert {
        description = description, severity = "low",
        sources = P.alert.address(flow.srcip, flow.srcport),
        targets = P.alert.address(flow.dstip, flow.dstport),
    }
    self:drop()
end

function Dns.method:receive(payload, direction)
    local message, original = P.read_dns(payload:asstring())
    if not message then return refuse(self, "invalid dns " .. original) end
    if message.qr ~= (direction == "down") then
        return refuse(self, direction == "down" and "dns: unexpected query" or "dns: unexpected response")
    end
    if direction == "up" then
        self.count = self.count + 1
        if self.count > WAITING_MAX then self.waiting, self.count = {}, 1 end
        self.waiting[message.id] = message
        if not self:trigger("query", message) then return end
    else
        local query = self.waiting[message.id]
        if not query then return refuse(self, "dns: mismatching response") end
        if not self:trigger("response", message, query) then return end
    end
    P.write_dns(message, original, payload)
end

return P.strict("dns", {
    events = Dns.events,
    dissect = function(flow)
        if not P.is_udp_flow(flow) then
            fail(format("dns.dissect: a UDP flow expected, got %s", type(flow)))
        end
        Dns:dissect(flow)
    end,
    install_udp_rule = function(port) Dns:install_udp_rule(port) end,
}, set())
