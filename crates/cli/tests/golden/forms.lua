-- Says things in every form there is.
local mine = haka.log_section("mine")

print("loading", 1, true, nil)
haka.rule{
    on = haka.events.started,
    eval = function () haka.log.info("started") end
}

haka.rule{
    on = tcp_connection.events.new_connection,
    eval = function (flow, pkt)
        mine.debug("%s to port %d", flow.srcip, pkt.dstport)
        mine("plain")
        haka.log.debug("too quiet")
        haka.log.warn("a warning")
        haka.log.warning("another")
        haka.log.error("100%")
        debug.pprint({ from = flow.srcip, ports = { flow.srcport, flow.dstport }, name = flow.name })
    end
}

local alert
haka.rule{
    on = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        print(dir, #current, current)
        local first = haka.alert{ description = "simple" }
        alert = haka.alert{
            start_time = 1767225600, end_time = 1767225601.5,
            description = "everything",
            severity = "medium",
            confidence = "low",
            completion = "failed",
            method = { description = "a scan", ref = { "cve/2026-0001", "https://example.com" } },
            sources = haka.alert.address(flow.srcip, flow.srcport),
            targets = { haka.alert.address(flow.dstip), haka.alert.service("tcp/80", "http") },
            ref = { first },
        }
    end
}

haka.rule{
    on = tcp_connection.events.end_connection,
    eval = function (flow)
        alert:update{ severity = "high", confidence = 0.75, completion = "successful" }
    end
}

haka.rule{
    on = haka.events.exiting,
    eval = function () print("exiting") end
}
