-- Everything that HTTP's events show.
local http = require("protocol/http")
http.install_tcp_rule(80)

haka.rule{
    hook = http.events.request,
    eval = function(http, req)
        print("request", req.method, req.uri, req.version, http.flow.dstport, http.request == req)
        for name, value in pairs(req.headers) do print("", name, value) end
        debug.pprint(req)
        print(req.split_uri.path, req.split_uri.args and req.split_uri.args.q, req.split_cookies.id)
        print(require("protocol/http").uri.normalize(req.uri))
    end
}

haka.rule{
    hook = http.events.response,
    eval = function(http, resp)
        print("response", resp.version, resp.status, resp.reason, http.request.uri, http.response == resp)
        debug.pprint(resp)
        print(resp.split_cookies.id)
    end
}

haka.rule{
    hook = http.events.request_data,
    eval = function(http, current) print("request_data", current:asstring()) end
}

haka.rule{
    hook = http.events.response_data,
    options = { streamed = true },
    eval = function(http, iter) print("response_data", iter:sub("all"):asstring()) end
}

haka.rule{
    hook = http.events.receive_data,
    eval = function(http, current, direction) print("receive_data", direction, #current) end
}
