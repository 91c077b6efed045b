-- protocol/ipv6: as ipv4, for the other version. Its events are not there yet.
local P, set = ...

P.ipv6.events = P.events("ipv6", {}, set("receive_packet", "send_packet"))
return P.strict("ipv6", P.ipv6, set("create", "options"))
