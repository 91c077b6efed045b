-- Requests and responses of HTTP, with their headers.
--
--   tollgate check FILE                                       every slip, before traffic meets it
--   tollgate replay --rules FILE -r in.pcap -w out.pcap       what it does to a capture; no root, no network
--   tollgate run --pair eth1:eth2 --rules FILE                in the wire
--
-- What there is to see and do: docs/http.md.

local http = require("protocol/http")

-- Connections to these ports are read as HTTP. What two readers may read in two ways is refused.
http.install_tcp_rule(80)
http.install_tcp_rule(8080)

haka.rule{
    hook = http.events.request,
    eval = function(http, req)
        -- None of the request has left yet.
        if req.split_uri.path == "/admin" then
            haka.alert{
                description = "somebody looks for /admin",
                sources = haka.alert.address(http.flow.srcip),
                targets = haka.alert.address(req.headers["Host"] or http.flow.dstip),
            }
            return http:reset()
        end
        req.headers["X-Forwarded-For"] = tostring(http.flow.srcip)
    end
}

haka.rule{
    hook = http.events.response,
    eval = function(http, resp)
        haka.log.info("%s %s: %s", http.request.method, http.request.uri, resp.status)
        resp.headers["Server"] = nil -- nobody needs to know
    end
}
