-- A word of another length in every body.
local http = require("protocol/http")
http.install_tcp_rule(80)

haka.rule{ hook = http.events.request, eval = function(http, req) req:enable_data_modification() end }
haka.rule{ hook = http.events.response, eval = function(http, resp) resp:enable_data_modification() end }

haka.rule{
    hook = http.events.receive_data,
    options = { streamed = true },
    eval = function(http, iter, direction)
        while true do
            local word = iter:sub(5)
            if not word then return end
            if word:asstring() == "world" then word:replace(haka.vbuffer_from("tollgate")) end
        end
    end
}
