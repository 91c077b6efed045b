-- protocol/tcp_connection: connections and their bytes.
local P, set = ...
local core = P.core

return P.strict("tcp_connection", {
    events = P.events("tcp_connection", {
        new_connection = core.new_connection, receive_packet = core.receive_packet,
        receive_data = core.receive_data, end_connection = core.end_connection,
    }),
    helper = P.strict("tcp_connection.helper", { TcpFlowDissector = P.TcpFlowDissector }),
}, set())
