---@meta protocol.raw

-- Frames, whatever they carry.

--- What all packets have.
---@class haka.Packet
---@field name string
---@field payload vbuffer.Part May be written, made longer and shorter
---@field timestamp haka.Time
---@field id integer The number of its frame; of an ipv4 packet, the datagram's own
local Packet = {}

--- The packet goes no further.
function Packet:drop() end
--- It leaves as it is now, past all that would still have looked at it.
function Packet:send() end
--- It is received anew, as it is now.
function Packet:inject() end
---@return "normal"|"forged"|"sent"|"dropped"
function Packet:state() end
---@return boolean
function Packet:can_continue() end
---@return boolean
function Packet:continue() end

---@class raw.Packet: haka.Packet
---@field next_dissector? string

---@class raw.options
---@field drop_unknown_dissector boolean

---@class raw.events
---@field receive_packet haka.Event<fun(pkt: raw.Packet)>
---@field send_packet haka.Event<fun(pkt: raw.Packet)>

---@class raw
---@field events raw.events
---@field options raw.options
raw = {}

---@param size? integer|table
---@param fields? table
---@return raw.Packet
function raw.create(size, fields) end

return raw
