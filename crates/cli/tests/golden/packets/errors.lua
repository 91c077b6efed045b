-- Fails at every level.
haka.rule{
    hook = raw.events.receive_packet,
    eval = function(pkt) if not pkt.next_dissector then error('no arp') end end
}
haka.rule{
    hook = ipv4.events.receive_packet,
    eval = function(pkt) if pkt.proto == 47 then return pkt.nothing end end
}
haka.rule{
    hook = tcp.events.receive_packet,
    eval = function(pkt) pkt.dstport = -1 end
}
haka.rule{
    hook = udp.events.send_packet,
    eval = function(pkt) pkt.length = 'x' end
}
haka.rule{
    hook = udp_connection.events.new_connection,
    eval = function(flow, pkt) if pkt.ip.version == 6 then error('no six') end end
}
