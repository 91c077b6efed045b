-- A head is held until it is there as a whole; the ends of a recording have acknowledged its first half meanwhile.
local http = require("protocol/http")
http.install_tcp_rule(80)

haka.rule{
    hook = http.events.response,
    eval = function(http, response) response.headers.Server = "another" end
}
