-- protocol/dns: questions and answers over UDP, whole messages as tables: see ../dns_message.lua.
local P, set = ...
local fail, type, format = P.fail, type, string.format

-- Questions wait for their answers in a ring, those of all connections together: who asks much, or in long
-- messages, makes the oldest be forgotten, and fills no memory. The weight of one is that of its records,
-- each of which takes five bytes at least, and some 200 here; so all of them are 40 MB at most.
local WAITING_MAX, MESSAGE_WEIGHT, RECORD_BYTES = 196608, 9, 5
local ring, first, last, waiting = {}, 1, 0, 0

local function wait_for(self, query, bytes)
    local weight = MESSAGE_WEIGHT + math.ceil(bytes / RECORD_BYTES)
    last, waiting = last + 1, waiting + weight
    ring[last] = { self.waiting, query.id, query, weight }
    self.waiting[query.id] = query
    while waiting > WAITING_MAX do
        local list, id, old, weighed = unpack(ring[first])
        ring[first] = nil
        first, waiting = first + 1, waiting - weighed
        if list[id] == old then list[id] = nil end
    end
end

local Dns = P.new_dissector { type = P.UdpFlowDissector, name = "dns" }
Dns:register_event("query")
Dns:register_event("response")

function Dns.method:__init(flow)
    P.class.super(Dns).__init(self, flow)
    self.waiting = {}
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
        if not self:trigger("query", message) then return end
        -- By the number that it leaves with.
        wait_for(self, message, #payload)
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
