-- Looks at what the client asks for, and lets the answer go: in a replay it crosses unseen as well.
haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        haka.log("%s: %s", dir, current:asstring())
        flow:shunt()
    end
}

haka.rule{
    on = tcp_connection.events.end_connection,
    eval = function (flow) haka.log("end") end
}
