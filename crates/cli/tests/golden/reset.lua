-- Resets a connection in which a word is said, also if segments cut it.
local tail = ""

haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        tail = (tail .. current:asstring()):sub(-16)
        if tail:find("FORBIDDEN", 1, true) then
            haka.alert{ severity = "high", description = "a forbidden word" }
            flow:reset()
        end
    end
}
