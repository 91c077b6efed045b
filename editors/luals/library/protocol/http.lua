---@meta protocol.http

-- HTTP/1: requests, responses and their bodies.

--- A line of a head, as it is now.
---@class http.Header
---@field name string
---@field value string

--- Names in any case; assigning makes it the only one, nil takes it out. By number, the lines in their order.
---@class http.Headers
---@field [string] string?
---@field [integer] http.Header?

---@class http.Request
---@field method string
---@field uri string
---@field version string
---@field headers http.Headers
---@field split_uri http.Uri
---@field split_cookies table
---@field [string] any
local Request = {}

--- From now on the body may change its length.
function Request:enable_data_modification() end

---@class http.Response
---@field version string
---@field status string
---@field reason string
---@field headers http.Headers
---@field split_cookies table
---@field [string] any
local Response = {}

--- From now on the body may change its length.
function Response:enable_data_modification() end

---@class http.Uri
---@field scheme? string
---@field authority? string
---@field userinfo? string
---@field user? string
---@field pass? string
---@field host? string
---@field port? string
---@field path? string
---@field query? string
---@field args? table
---@field fragment? string
local Uri = {}

---@return http.Uri
function Uri:normalize() end

---@class http.Dissector
---@field flow haka.Flow
---@field connection haka.Traffic
---@field request? http.Request
---@field response? http.Response
---@field name string
---@field [string] any
local Dissector = {}

function Dissector:drop() end
function Dissector:reset() end
---@return boolean
function Dissector:can_continue() end
---@return boolean
function Dissector:continue() end
--- From now on the body of the message whose event is running may change its length.
function Dissector:enable_data_modification() end
--- Raises an event of the dissector; whether it goes on.
---@param name string
---@return boolean
function Dissector:trigger(name, ...) end
---@param direction? haka.Direction
function Dissector:send(direction) end
--- What reads the bytes behind an upgrade.
---@param dissector any
function Dissector:select_next_dissector(dissector) end

---@class http.events
---@field request haka.Event<fun(http: http.Dissector, req: http.Request)>
---@field response haka.Event<fun(http: http.Dissector, resp: http.Response)>
---@field request_data haka.Event<fun(http: http.Dissector, current: vbuffer.Part|vbuffer.Iterator, direction: haka.Direction)>
---@field response_data haka.Event<fun(http: http.Dissector, current: vbuffer.Part|vbuffer.Iterator, direction: haka.Direction)>
---@field receive_data haka.Event<fun(http: http.Dissector, current: vbuffer.Part|vbuffer.Iterator, direction: haka.Direction)>

---@class http.options
---@field ambiguous "refuse"|"alert"|"pass"
---@field head_bytes_max integer

---@class http
---@field events http.events
---@field options http.options
http = {}

---@param flow haka.Flow
function http.dissect(flow) end
---@param port integer
function http.install_tcp_rule(port) end

---@class http.uri
http.uri = {}
---@param text string
---@return http.Uri
function http.uri.split(text) end
---@param text string
---@return string
function http.uri.normalize(text) end

---@class http.cookies
http.cookies = {}
---@param line string?
---@return table
function http.cookies.split(line) end

return http
