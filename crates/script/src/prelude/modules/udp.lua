-- protocol/udp: UDP packets (RFC 768).
local P, set = ...
local core = P.core

P.layer_class {
    name = "udp", is_transport = true, sum = 6,
    numbers = {
        srcport = { 0, 2 }, dstport = { 2, 2 }, length = { 4, 2 }, checksum = { 6, 2 },
    },
    begins = function(self) return P.layer_at(self) + 8 end,
    get = {
        ip = function(_, frame) return P.ip_of(frame) end,
        raw = function(_, frame) return P.raw_of(frame) end,
    },
    set = {},
}

return P.strict("udp", {
    events = P.events("udp", {
        receive_packet = core.receive_udp, send_packet = core.send_udp,
    }),
    create = function(ip, init)
        return P.create_transport("udp", ip, 17, "\0\0\0\0\0\8\0\0", init)
    end,
}, set())
