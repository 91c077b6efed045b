-- Every field of requests and responses, changed; bodies stay.
local http = require("protocol/http")

haka.rule{
    hook = tcp_connection.events.new_connection,
    eval = function(flow) http.dissect(flow) end
}

haka.rule{
    hook = http.events.request,
    eval = function(http, req)
        req.method = "POST"
        req.uri = "/somewhere/else"
        req.version = "HTTP/1.0"
        req.headers.HOST = "another.example"
        req.headers["X-New"] = "new"
        req.headers.Accept = nil
    end
}

haka.rule{
    hook = http.events.response,
    eval = function(http, resp)
        resp.version = "HTTP/1.0"
        resp.status = "404"
        resp.reason = "Nothing here"
        resp.headers.server = "nobody's business"
    end
}
