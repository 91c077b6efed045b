-- Puts "wire" in the place of "world", also where segments cut it.
local tcp_connection = require("protocol/tcp_connection")

haka.rule{
    on = tcp_connection.events.receive_data,
    options = { streamed = true },
    eval = function (flow, iter, dir)
        local start = iter:copy()
        while iter:wait() do
            start:move_to(iter)
            if iter:sub(1):asstring() == "w" then
                start:mark()
                local rest = iter:sub(4)
                if rest and rest:asstring() == "orld" then
                    start:sub(5):replace(haka.vbuffer_from("wire"))
                end
                start:unmark()
            end
        end
    end
}

haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow, current, dir) print(dir, current:asstring()) end
}
