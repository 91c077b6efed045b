-- Looks at the first data, writes into the second.
local count = 0

haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow, current)
        count = count + 1
        print(current:asstring())
        if count == 2 then current:replace(haka.vbuffer_from("something else")) end
    end
}
