------------------------------------
-- The firewall of the demo: who may talk to whom, and what may not be said
------------------------------------

local client_network = ipv4.network("198.18.10.0/25");
local server_network = ipv4.network("198.18.20.0/25");

local group = haka.rule_group {
    hook = tcp_connection.events.new_connection,
    init = function (flow, pkt)
        haka.log.debug("entering packet filtering rules : %d --> %d",
            pkt.srcport, pkt.dstport)
    end,
    final = function (flow, pkt)
        haka.alert{
            description = "Packet dropped : drop by default",
            sources = haka.alert.address(pkt.ip.src, pkt.srcport),
            targets = haka.alert.address(pkt.ip.dst, pkt.dstport)
        }
        pkt:drop()
    end,
    continue = function (ret, flow, pkt)
        return not ret
    end
}

group:rule{
    eval = function (flow, tcp)
        if client_network:contains(tcp.ip.src) and
            server_network:contains(tcp.ip.dst) and
            tcp.dstport == 80 then
            haka.log.warning("authorizing http traffic")
            http.dissect(flow)
            return true
        end
    end
}

group:rule{
    eval = function (flow, tcp)
        if client_network:contains(tcp.ip.src) and
            server_network:contains(tcp.ip.dst) and
            tcp.dstport == 22 then
            haka.log.warning("authorizing ssh traffic")
            haka.log.warning("no available dissector for ssh")
            return true
        end
    end
}

-- Bytes arrive here in order, whatever the network did to them, and before the receiver gets them. A
-- word that is cut by the end of one call is found by looking at the end of the last one, too.
local forbidden = "FOR-INTERNAL-USE-ONLY"
local tails = {}

haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        local key = string.format("%s:%d-%s:%d %s", tostring(flow.srcip), flow.srcport,
            tostring(flow.dstip), flow.dstport, dir)
        local text = (tails[key] or "") .. current:asstring()
        if text:find(forbidden, 1, true) then
            haka.alert{
                description = "Forbidden word : connection reset",
                severity = "high",
                sources = haka.alert.address(flow.srcip, flow.srcport),
                targets = haka.alert.address(flow.dstip, flow.dstport)
            }
            tails[key] = nil
            flow:reset()
        else
            tails[key] = text:sub(-#forbidden + 1)
        end
    end
}

haka.rule{
    hook = tcp_connection.events.end_connection,
    eval = function (flow)
        for _, dir in ipairs{ "up", "down" } do
            tails[string.format("%s:%d-%s:%d %s", tostring(flow.srcip), flow.srcport,
                tostring(flow.dstip), flow.dstport, dir)] = nil
        end
    end
}
