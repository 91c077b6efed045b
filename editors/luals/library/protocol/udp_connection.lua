---@meta protocol.udp_connection

-- Packets of UDP between the same two ends, until none has come for a minute.

---@class udp_connection.State
---@field current string

---@class udp_connection.Flow
---@field srcip ipv4.Addr|ipv6.Addr
---@field dstip ipv4.Addr|ipv6.Addr
---@field srcport integer
---@field dstport integer
---@field name string
---@field state udp_connection.State
---@field connection haka.Traffic
---@field [string] any
local Flow = {}

--- Its packets are dropped for as long as they keep coming.
function Flow:drop() end
function Flow:send() end
---@return boolean
function Flow:can_continue() end
---@return boolean
function Flow:continue() end
---@param dissector any
function Flow:select_next_dissector(dissector) end

--- The payload, which has the fields of its packet, too.
---@class udp_connection.Data: udp.Packet, vbuffer.Part

---@class udp_connection.events
---@field new_connection haka.Event<fun(flow: udp_connection.Flow, pkt: udp.Packet)>
---@field receive_packet haka.Event<fun(flow: udp_connection.Flow, pkt: udp.Packet, direction: haka.Direction)>
---@field receive_data haka.Event<fun(flow: udp_connection.Flow, data: udp_connection.Data, direction: haka.Direction)>
---@field end_connection haka.Event<fun(flow: udp_connection.Flow)>

---@class udp_connection.helper
---@field UdpFlowDissector class.Class

---@class udp_connection
---@field events udp_connection.events
---@field helper udp_connection.helper
udp_connection = {}

return udp_connection
