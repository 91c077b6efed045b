-- Writes, and drops.
haka.rule{
    hook = tcp.events.receive_packet,
    eval = function(pkt) pkt.dstport = 81 end
}
haka.rule{
    hook = udp.events.receive_packet,
    eval = function(pkt) print(pkt.payload) pkt:drop() end
}
haka.rule{
    hook = icmp.events.receive_packet,
    eval = function(pkt) pkt.payload:erase() end
}
