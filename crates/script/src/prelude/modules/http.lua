-- protocol/http: which flows are HTTP. What the dissector then does with their bytes is not there yet.
local P, set = ...
local fail, live, format, type = P.fail, P.live, string.format, type

local function select_dissector(flow)
    if not P.is_flow(flow) then
        fail(format("http.dissect: a flow expected, got %s", type(flow)))
    end
    if flow ~= live.flow then
        fail("http.dissect: this is not the connection of the running event")
    end
    live.entry.dissector = "http"
    P.log("debug", "tcp", "selecting http dissector on flow")
end

return P.strict("http", {
    events = P.events("http", {},
        set("request", "response", "request_data", "response_data", "receive_data")),
    dissect = function(flow) select_dissector(flow) end,
    install_tcp_rule = function(port)
        if type(port) ~= "number" then
            fail(format("http.install_tcp_rule: a port expected, got %s", type(port)))
        end
        P.rule {
            hook = P.core.new_connection,
            name = "install http dissector",
            eval = function(flow, pkt)
                if pkt.dstport == port then select_dissector(flow) end
            end,
        }
    end,
}, set("uri", "cookies"))
