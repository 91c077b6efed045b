---@meta protocol.dns

-- Questions and answers over UDP, whole messages as tables.

--- A question or record; which fields it has depends on its type.
---@class dns.Record
---@field name string
---@field type any
---@field class any
---@field ttl? integer
---@field length? integer
---@field ip? ipv4.Addr|ipv6.Addr A, AAAA
---@field cname? string
---@field nsdname? string
---@field ptrdname? string
---@field text? any TXT
---@field preference? integer MX
---@field exchange? string
---@field priority? integer SRV
---@field weight? integer
---@field port? integer
---@field target? string
---@field mname? string SOA
---@field rname? string
---@field serial? integer
---@field refresh? integer
---@field retry? integer
---@field expire? integer
---@field minimum? integer
---@field data? string

---@class dns.Message
---@field id integer
---@field qr boolean
---@field opcode integer
---@field aa boolean
---@field tc boolean
---@field rd boolean
---@field ra boolean
---@field z any
---@field rcode integer
---@field qdcount integer How many questions came; what counts is the list
---@field ancount integer
---@field nscount integer
---@field arcount integer
---@field question dns.Record[]
---@field answer dns.Record[]
---@field authority dns.Record[]
---@field additional dns.Record[]

---@class dns.Dissector
---@field flow udp_connection.Flow
---@field connection haka.Traffic
---@field name string
---@field [string] any
local Dissector = {}

--- Drops the connection.
function Dissector:drop() end
function Dissector:send() end
---@return boolean
function Dissector:can_continue() end
---@return boolean
function Dissector:continue() end
--- Raises an event of the dissector; whether it goes on.
---@param name string
---@return boolean
function Dissector:trigger(name, ...) end
---@param dissector any
function Dissector:select_next_dissector(dissector) end

---@class dns.events
---@field query haka.Event<fun(dns: dns.Dissector, query: dns.Message)>
---@field response haka.Event<fun(dns: dns.Dissector, response: dns.Message, query: dns.Message)>

---@class dns
---@field events dns.events
dns = {}

---@param flow udp_connection.Flow
function dns.dissect(flow) end
---@param port integer
function dns.install_udp_rule(port) end

return dns
