---@meta protocol.ipv4

-- IPv4: datagrams and fragments, addresses and networks.

---@class ipv4.Addr
---@field packed integer

---@class haka.Network
---@field net ipv4.Addr|ipv6.Addr
---@field mask integer
local Network = {}

---@param address ipv4.Addr|ipv6.Addr|string
---@return boolean
function Network:contains(address) end

---@class ipv4.Flags
---@field rb boolean
---@field df boolean
---@field mf boolean
---@field all integer

---@class ipv4.Packet: haka.Packet
---@field version integer
---@field hdr_len integer In bytes
---@field tos integer
---@field len integer
---@field id integer
---@field flags ipv4.Flags
---@field frag_offset integer In bytes
---@field ttl integer
---@field proto integer
---@field checksum integer
---@field src ipv4.Addr
---@field dst ipv4.Addr
---@field raw raw.Packet
---@field next_dissector? string
local Packet = {}

---@return boolean
function Packet:verify_checksum() end
function Packet:compute_checksum() end

---@class ipv4.options
---@field enable_reassembly boolean

---@class ipv4.events
---@field receive_packet haka.Event<fun(pkt: ipv4.Packet)>
---@field send_packet haka.Event<fun(pkt: ipv4.Packet)>

---@class ipv4
---@field events ipv4.events
---@field options ipv4.options
ipv4 = {}

--- `"10.0.0.1"`, a number, or four.
---@param address string|integer|ipv4.Addr
---@return ipv4.Addr
function ipv4.addr(address, ...) end
--- `"10.0.0.0/8"`, or an address and its bits.
---@param network string|ipv4.Addr
---@param bits? integer
---@return haka.Network
function ipv4.network(network, bits) end
---@param raw raw.Packet
---@param fields? table
---@return ipv4.Packet
function ipv4.create(raw, fields) end
---@param protocol integer
---@param dissector any
function ipv4.register_protocol(protocol, dissector) end

return ipv4
