-- The same things said in the ways in which scripts say them.
local ipv4 = require('protocol/ipv4')
local tcp_connection = require('protocol/tcp_connection')
print(require('string') == string, type(require('bit').band))

haka.rule(tcp_connection.events.new_connection, function (flow, pkt)
    print("by position", flow, pkt.raw.id, pkt.id == pkt.ip.id)
end)

haka.rule{
    hook = tcp_connection.events.new_connection,
    desc = "a key that nobody asks for", ---@diagnostic disable-line
    eval = function (flow, pkt)
        -- The host's bits are shown as they were given, and do not count.
        local network = ipv4.network(pkt.ip.dst, 22)
        print(network, network:contains(pkt.ip.dst), network:contains(ipv4.addr(198, 18, 2, 9)))
        local alert = haka.alert{
            start_time = pkt.ip.raw.timestamp, end_time = haka.network_time(),
            description = string.format("filtering %s", pkt.ip.src),
            confidence = 7,
            sources = { haka.alert.address(pkt.ip.src, "local.org", "and more", 33), haka.alert.service(22, "ssh") },
            targets = haka.alert.address(network),
        }
        alert:update{ method = { ref = "cve/255-45" }, ref = { alert } }
        haka.alert()
    end
}

haka.rule_group{
    hook = tcp_connection.events.new_connection,
    continue = function (ret) return not ret end,
}:rule{
    hook = tcp_connection.events.new_connection, ---@diagnostic disable-line
    name = "a rule of a group",
    eval = function (flow) print(flow:can_continue(), flow:continue()) flow:drop() print(flow:continue()) end
}
