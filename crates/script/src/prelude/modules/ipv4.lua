-- protocol/ipv4: addresses and networks. Its events are not there yet.
local P, set = ...

P.ipv4.events = P.events("ipv4", {}, set("receive_packet", "send_packet"))
return P.strict("ipv4", P.ipv4, set("create", "options", "register_protocol"))
