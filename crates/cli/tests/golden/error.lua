-- Fails at the first data.
haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow, current) error("on purpose") end
}
