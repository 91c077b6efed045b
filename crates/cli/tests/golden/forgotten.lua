-- Fails at the first data, in a way that only the interpreter knows of, and refuses the second connection.
local count = 0

local function deep(n) return 1 + deep(n + 1) end

haka.rule{
    hook = tcp_connection.events.new_connection,
    eval = function (flow)
        count = count + 1
        print(count, flow.stream.up, flow.stream.down, flow.stream.left) ---@diagnostic disable-line
        if count == 2 then flow:drop() end
    end
}

haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow)
        print(pcall(function () return flow.stream.up:pop() end))
        return deep(1)
    end
}
