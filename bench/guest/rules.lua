------------------------------------
-- The guest's rules: one connection is refused, one is reset in mid-stream
------------------------------------

haka.rule{
    hook = tcp_connection.events.new_connection,
    eval = function (flow, pkt)
        if pkt.dstport == 8080 then
            haka.alert{
                description = "refused by the guest's rule",
                sources = haka.alert.address(pkt.ip.src, pkt.srcport),
                targets = haka.alert.address(pkt.ip.dst, pkt.dstport)
            }
            pkt:drop()
        end
    end
}

-- The word is sent in one write and arrives in one piece; bench/lab/demo.lua shows what is done where it may not.
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        if flow.dstport == 9001 and current:asstring():find("FORBIDDEN", 1, true) then
            haka.alert{
                description = "reset by the guest's rule",
                severity = "high",
                sources = haka.alert.address(flow.srcip, flow.srcport),
                targets = haka.alert.address(flow.dstip, flow.dstport)
            }
            flow:reset()
        end
    end
}
