-- Accepts everything and says what it sees.
haka.rule{
    on = tcp_connection.events.new_connection,
    eval = function (flow, pkt)
        haka.log("new: %s:%d to %s:%d", tostring(flow.srcip), flow.srcport, tostring(flow.dstip), flow.dstport)
    end
}

haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        haka.log("%s: %s", dir, current:asstring())
    end
}

haka.rule{
    on = tcp_connection.events.end_connection,
    eval = function (flow) haka.log("end") end
}
