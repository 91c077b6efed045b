---@meta protocol.tls

-- What TLS says before it is encrypted.

---@class tls.ClientHello
---@field sni? string In lower case
---@field alpn string[]
---@field version string
---@field versions string[]
---@field ciphers integer[]
---@field extensions integer[]
---@field ja4 string
---@field ech boolean
---@field early_data boolean

---@class tls.ServerHello
---@field version string
---@field cipher integer
---@field extensions integer[]
---@field alpn? string
---@field retry boolean

---@class tls.events
---@field client_hello haka.Event<fun(flow: haka.Flow, hello: tls.ClientHello)>
---@field server_hello haka.Event<fun(flow: haka.Flow, hello: tls.ServerHello)>

---@class tls
---@field events tls.events
tls = {}

---@param flow haka.Flow
function tls.dissect(flow) end
---@param port integer
function tls.install_tcp_rule(port) end

return tls
