-- Who may open a connection to what. Everything that no rule below allows is refused.
--
--   tollgate check FILE                                       every slip, before traffic meets it
--   tollgate replay --rules FILE -r in.pcap -w out.pcap       what it does to a capture; no root, no network
--   tollgate run --pair eth1:eth2 --rules FILE                in the wire
--   tollgate reload                                           after a change, without losing a frame
--
-- What there is to see and do: docs/rules.md.

-- Either version of IP; a network holds only addresses of its own.
local clients = ipv4.network("192.168.0.0/16")
local servers = { ipv4.network("198.18.0.0/15"), ipv6.network("fd00::/8") }

local function is_server(address)
    for _, network in ipairs(servers) do
        if network:contains(address) then return true end
    end
    return false
end

-- A group asks its rules one by one, until one of them has something to say.
local group = haka.rule_group{
    hook = tcp_connection.events.new_connection, -- a first SYN: nothing has been sent on yet
    continue = function(ret, flow, pkt) return not ret end,
    final = function(flow, pkt)
        haka.alert{
            description = "refused: no rule allows it",
            severity = "low",
            sources = haka.alert.address(flow.srcip, flow.srcport),
            targets = haka.alert.address(flow.dstip, flow.dstport),
        }
        flow:drop() -- silently; flow:reset() tells both ends
    end
}

-- Names of fields that do not exist are found by `tollgate check`.
group:rule{
    name = "web",
    eval = function(flow, pkt)
        if is_server(flow.dstip) and (flow.dstport == 80 or flow.dstport == 443) then
            return true
        end
    end
}

group:rule{
    name = "ssh from our own",
    eval = function(flow, pkt)
        if clients:contains(flow.srcip) and flow.dstport == 22 then
            haka.log.info("ssh from %s to %s", flow.srcip, flow.dstip)
            return true
        end
    end
}

-- What `match` says beforehand is asked without Lua: a connection that no rule is for costs nothing.
haka.rule{
    hook = tcp_connection.events.receive_data,
    match = { dstport = 80, dstip = servers, direction = "up" },
    eval = function(flow, current, direction)
        if current:asstring():find("/etc/passwd", 1, true) then flow:reset() end
    end
}

-- At the end of each connection, whatever became of it.
haka.rule{
    hook = tcp_connection.events.end_connection,
    eval = function(flow)
        haka.log.debug("%s: %d bytes up, %d down", flow, flow.connection.in_bytes, flow.connection.out_bytes)
    end
}
