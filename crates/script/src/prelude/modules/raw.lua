-- protocol/raw: frames before they are anything else. Its events are not there yet.
local P, set = ...

return P.strict("raw", {
    events = P.events("raw", {}, set("receive_packet", "send_packet")),
}, set("create", "options"))
