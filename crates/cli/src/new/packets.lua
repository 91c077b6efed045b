-- Packets, one by one, of whatever protocol: read, written, dropped.
--
--   tollgate check FILE                                       every slip, before traffic meets it
--   tollgate replay --rules FILE -r in.pcap -w out.pcap       what it does to a capture; no root, no network
--   tollgate run --pair eth1:eth2 --rules FILE                in the wire
--
-- What there is to see and do: docs/rules.md. A script that looks at packets only has no connection followed;
-- one that asks for require("protocol/tcp_connection") has.

haka.rule{
    hook = ipv4.events.receive_packet,
    eval = function(pkt)
        if not pkt:verify_checksum() then return pkt:drop() end
        pkt.ttl = 64 -- lengths and checksums follow by themselves
    end
}

haka.rule{
    hook = tcp.events.receive_packet,
    eval = function(pkt)
        if pkt.flags.syn and not pkt.flags.ack and pkt.dstport == 23 then
            haka.log.warning("no telnet: %s to %s", pkt.ip.src, pkt.ip.dst)
            pkt:drop()
        end
    end
}

-- No more than ten echo requests a second. Globals belong to one worker; what a script keeps, it must bound.
local second, count = 0, 0

haka.rule{
    hook = icmp.events.receive_packet,
    eval = function(pkt)
        local now = haka.network_time().secs
        if now ~= second then second, count = now, 0 end
        count = count + 1
        if count > 10 then pkt:drop() end
    end
}
