-- Numbers lines, and takes out those that say "secret"; half a line waits for its end.
local function line_of(iter)
    local start = iter:copy()
    start:mark()
    local length = 0
    while iter:wait() do
        length = length + 1
        if iter:sub(1)[1] == 10 then break end
    end
    return start, length
end

haka.rule{
    on = tcp_connection.events.receive_data,
    options = { streamed = true },
    eval = function (flow, iter, dir)
        local number = 0
        while iter:wait() do
            local start, length = line_of(iter)
            local line = start:copy():sub(length)
            if line:asstring() == "secret\n" then
                line:erase()
            else
                number = number + 1
                start:insert(haka.vbuffer_from(number .. ": "))
            end
            start:unmark()
        end
    end
}
