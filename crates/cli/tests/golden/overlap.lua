-- Says what it is shown, and in which order.
haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow, current, dir) haka.log("%s: %s", dir, current:asstring()) end
}
