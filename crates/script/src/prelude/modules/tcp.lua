-- protocol/tcp: TCP packets, of connections that are followed.
local P, set = ...

return P.strict("tcp", {
    events = P.events("tcp", {
        receive_packet = P.core.receive_tcp,
        -- The manual hooks `tcp.events.receive_data`.
        new_connection = P.core.new_connection,
        receive_data = P.core.receive_data,
        end_connection = P.core.end_connection,
    }, set("send_packet")),
}, set("create"))
