-- What follows an upgrade is no HTTP.
local http = require("protocol/http")
http.install_tcp_rule(80)

haka.rule{
    hook = http.events.response,
    eval = function(http, resp) print(resp.status, resp.headers.upgrade) end
}

haka.rule{
    hook = http.events.receive_data,
    eval = function(http, current) print("never") end
}
