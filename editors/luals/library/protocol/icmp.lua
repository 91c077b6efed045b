---@meta protocol.icmp

-- ICMP packets, of both versions of IP. The payload begins behind the checksum.

---@class icmp.Packet: haka.Packet
---@field type integer
---@field code integer
---@field checksum integer
---@field ip ipv4.Packet|ipv6.Packet
---@field raw raw.Packet
local Packet = {}

---@return boolean
function Packet:verify_checksum() end
function Packet:compute_checksum() end

---@class icmp.events
---@field receive_packet haka.Event<fun(pkt: icmp.Packet)>
---@field send_packet haka.Event<fun(pkt: icmp.Packet)>

---@class icmp
---@field events icmp.events
icmp = {}

---@param ip ipv4.Packet|ipv6.Packet
---@param fields? table
---@return icmp.Packet
function icmp.create(ip, fields) end

return icmp
