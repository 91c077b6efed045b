---@meta protocol.tcp_connection

-- Connections of TCP and their bytes.

---@class haka.FlowState
---@field current string

-- Named only: bytes come in events.
---@class haka.Streams
---@field up any
---@field down any

---@class haka.Traffic
---@field id integer
---@field in_pkts integer
---@field in_bytes integer
---@field out_pkts integer
---@field out_bytes integer

--- A connection. Other fields are yours, and live as long as it does.
---@class haka.Flow
---@field srcip ipv4.Addr|ipv6.Addr Who sent the SYN
---@field dstip ipv4.Addr|ipv6.Addr
---@field srcport integer
---@field dstport integer
---@field name string
---@field state haka.FlowState
---@field stream haka.Streams
---@field connection haka.Traffic In is up
---@field [string] any
local Flow = {}

--- Drops the connection silently, with all its later packets.
function Flow:drop() end
--- A RST to the server only, then as `drop`.
function Flow:halfreset() end
--- A RST to both ends, then as `drop`.
function Flow:reset() end
--- Whether no rule has ended it so far.
---@return boolean
function Flow:can_continue() end
--- The same.
---@return boolean
function Flow:continue() end
--- Lets the rest of it cross in the kernel where that is possible: no rule sees more of it than its end.
function Flow:shunt() end
--- Sends what rules have accepted; it goes by itself, too.
---@param direction? haka.Direction
function Flow:send(direction) end
--- What follows the bytes once the rules have seen them.
---@param dissector any
function Flow:select_next_dissector(dissector) end

---@class tcp_connection.events
---@field new_connection haka.Event<fun(flow: haka.Flow, pkt: tcp.Packet)> A first SYN, before anything is sent on
---@field receive_packet haka.Event<fun(flow: haka.Flow, pkt: tcp.Packet, direction: haka.Direction)> Every packet of a connection, to be looked at
---@field receive_data haka.Event<fun(flow: haka.Flow, current: vbuffer.Part|vbuffer.Iterator, direction: haka.Direction)> Bytes, in order, each once, before they leave
---@field end_connection haka.Event<fun(flow: haka.Flow)> Once, at the end

---@class tcp_connection.helper
---@field TcpFlowDissector class.Class

---@class tcp_connection
---@field events tcp_connection.events
---@field helper tcp_connection.helper
tcp_connection = {}

return tcp_connection
