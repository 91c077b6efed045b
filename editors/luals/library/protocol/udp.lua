---@meta protocol.udp

-- UDP packets.

---@class udp.Packet: haka.Packet
---@field srcport integer
---@field dstport integer
---@field length integer
---@field checksum integer
---@field ip ipv4.Packet|ipv6.Packet
---@field raw raw.Packet
local Packet = {}

---@return boolean
function Packet:verify_checksum() end
function Packet:compute_checksum() end

---@class udp.events
---@field receive_packet haka.Event<fun(pkt: udp.Packet)>
---@field send_packet haka.Event<fun(pkt: udp.Packet)>

---@class udp
---@field events udp.events
udp = {}

---@param ip ipv4.Packet|ipv6.Packet
---@param fields? table
---@return udp.Packet
function udp.create(ip, fields) end

return udp
