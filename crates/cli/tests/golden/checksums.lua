-- Shows what is believed.
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, direction) print(direction, current) end
}
