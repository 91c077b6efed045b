---@meta protocol.ipv6

-- IPv6: as ipv4; fields that mean the same have the same name.

---@class ipv6.Addr
---@field [integer] integer

---@class ipv6.Packet: haka.Packet
---@field version integer
---@field hdr_len integer
---@field tos integer
---@field flow_label integer
---@field len integer The whole datagram, as in ipv4
---@field ttl integer
---@field proto integer
---@field src ipv6.Addr
---@field dst ipv6.Addr
---@field raw raw.Packet
---@field next_dissector? string
local Packet = {}

---@return boolean
function Packet:verify_checksum() end
function Packet:compute_checksum() end

---@class ipv6.events
---@field receive_packet haka.Event<fun(pkt: ipv6.Packet)>
---@field send_packet haka.Event<fun(pkt: ipv6.Packet)>

---@class ipv6
---@field events ipv6.events
ipv6 = {}

---@param address string|ipv6.Addr
---@return ipv6.Addr
function ipv6.addr(address) end
---@param network string|ipv6.Addr
---@param bits? integer
---@return haka.Network
function ipv6.network(network, bits) end
---@param raw raw.Packet
---@param fields? table
---@return ipv6.Packet
function ipv6.create(raw, fields) end

return ipv6
