-- protocol/http: requests and responses.
local P, set = ...
local http = P.http

return P.strict("http", {
    events = http.events, options = http.options, uri = http.uri, cookies = http.cookies,
    dissect = function(flow)
        if not P.is_flow(flow) then P.fail("http.dissect: a flow expected, got " .. type(flow)) end
        if flow ~= P.live.flow then
            P.fail("http.dissect: this is not the connection of the running event")
        end
        http.class:dissect(flow)
    end,
    install_tcp_rule = function(port)
        if type(port) ~= "number" then
            P.fail("http.install_tcp_rule: a port expected, got " .. type(port))
        end
        http.class:install_tcp_rule(port)
    end,
}, set())
