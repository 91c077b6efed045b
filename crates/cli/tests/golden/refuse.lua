-- Refuses every connection, with an alert.
haka.rule{
    on = tcp_connection.events.new_connection,
    eval = function (flow, pkt)
        haka.alert{
            severity = "low",
            description = "refused",
            sources = { haka.alert.address(flow.srcip) },
            targets = { haka.alert.address(flow.dstip) },
        }
        pkt:drop()
    end
}
