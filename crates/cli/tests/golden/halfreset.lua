-- Resets the server's end at the first data.
haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow) flow:halfreset() end
}
