---@meta protocol.tcp

-- TCP packets, whatever connection they belong to.

---@class tcp.Flags
---@field fin boolean
---@field syn boolean
---@field rst boolean
---@field psh boolean
---@field ack boolean
---@field urg boolean
---@field ecn boolean
---@field cwr boolean
---@field all integer

---@class tcp.Packet: haka.Packet
---@field srcport integer
---@field dstport integer
---@field seq integer
---@field ack_seq integer
---@field hdr_len integer In bytes
---@field res integer
---@field flags tcp.Flags
---@field window_size integer
---@field checksum integer
---@field urgent_pointer integer
---@field ip ipv4.Packet|ipv6.Packet
---@field raw raw.Packet
local Packet = {}

---@return boolean
function Packet:verify_checksum() end
function Packet:compute_checksum() end

---@class tcp.events
---@field receive_packet haka.Event<fun(pkt: tcp.Packet)>
---@field send_packet haka.Event<fun(pkt: tcp.Packet)>
---@field new_connection haka.Event<fun(flow: haka.Flow, pkt: tcp.Packet)>
---@field receive_data haka.Event<fun(flow: haka.Flow, current: vbuffer.Part|vbuffer.Iterator, direction: haka.Direction)>
---@field end_connection haka.Event<fun(flow: haka.Flow)>

---@class tcp
---@field events tcp.events
tcp = {}

---@param ip ipv4.Packet|ipv6.Packet
---@param fields? table
---@return tcp.Packet
function tcp.create(ip, fields) end

return tcp
