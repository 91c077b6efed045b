-- protocol/icmp: ICMP packets of both versions of IP (RFC 792, RFC 4443). The payload begins behind the
-- checksum.
local P, set = ...
local core = P.core

P.layer_class {
    name = "icmp", is_transport = true, sum = 2,
    numbers = { type = { 0, 1 }, code = { 1, 1 }, checksum = { 2, 2 } },
    begins = function(self) return P.layer_at(self) + 4 end,
    get = {
        ip = function(_, frame) return P.ip_of(frame) end,
        raw = function(_, frame) return P.raw_of(frame) end,
    },
    set = {},
}

return P.strict("icmp", {
    events = P.events("icmp", {
        receive_packet = core.receive_icmp, send_packet = core.send_icmp,
    }),
    create = function(ip, init)
        local number = P.is_layer(ip, "ipv6") and 58 or 1
        return P.create_transport("icmp", ip, number, "\0\0\0\0", init)
    end,
}, set())
