-- A protocol of the script's own: a length, and so much text.
local class = require('class')

local Note = haka.dissector.new{ type = udp_connection.helper.UdpFlowDissector, name = 'note' }
Note:register_event('text')

function Note.method:__init(flow)
    class.super(Note).__init(self, flow)
    self.count = 0
end

function Note.method:receive(payload, direction)
    local len = payload[1]
    self.count = self.count + 1
    if #payload - 1 ~= len then
        haka.alert{ description = 'broken note', sources = haka.alert.address(self.flow.srcip) }
        return self:drop()
    end
    self:trigger('text', payload:sub(1), direction)
end

Note:install_udp_rule(7)

haka.rule{
    hook = Note.events.text,
    eval = function(note, text, direction) print(note.count, direction, text) end
}
