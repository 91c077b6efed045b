-- Takes a word out.
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        local at = current:asstring():find("secret ", 1, true)
        if at then current:sub(at - 1, 7):erase() end
    end
}
