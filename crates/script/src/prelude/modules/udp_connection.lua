-- protocol/udp_connection: packets of UDP between the same two ends: see ../udp_flow.lua.
local P, set = ...
local events = P.udp_events

return P.strict("udp_connection", {
    events = P.events("udp_connection", {
        new_connection = events.new_connection, receive_packet = events.receive_packet,
        receive_data = events.receive_data, end_connection = events.end_connection,
    }),
    helper = P.strict("udp_connection.helper", { UdpFlowDissector = P.UdpFlowDissector }),
}, set())
