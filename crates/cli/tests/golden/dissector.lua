-- A protocol of messages, each with its length in front; "bye" ends the connection.
local class = require("class")
local tcp_connection = require("protocol/tcp_connection")

local Chat = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = "chat" }
Chat:register_event("message")

function Chat.method:__init(flow)
    class.super(Chat).__init(self, flow)
    self.count = 0
end

function Chat.method:receive_streamed(iter, direction)
    while iter:wait() do
        local message = iter:sub(iter:sub(1):asnumber())
        self.count = self.count + 1
        if not self:trigger("message", message, direction) then return end
    end
end

Chat:install_tcp_rule(80)

haka.rule{
    on = Chat.events.message,
    eval = function (chat, message, direction)
        print(chat.count, direction, message:asstring())
        if message:asstring() == "bye" then chat:reset() end
    end
}
