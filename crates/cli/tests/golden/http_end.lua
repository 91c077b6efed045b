-- What ends a connection.
local http = require("protocol/http")
http.install_tcp_rule(80)

haka.rule{
    hook = http.events.request,
    eval = function(http, req)
        print(req.uri)
        if req.uri == "/drop" then http:drop() end
        if req.uri == "/reset" then http:reset() end
    end
}
