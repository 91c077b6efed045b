-- Makes payloads longer, shorter, and empty.
haka.rule{
    hook = tcp.events.receive_packet,
    eval = function(pkt) pkt.payload:pos('end'):insert(haka.vbuffer_from(', world')) end
}
haka.rule{
    hook = udp.events.receive_packet,
    eval = function(pkt) pkt.payload:sub(5):erase() end
}
haka.rule{
    hook = udp.events.send_packet,
    eval = function(pkt) pkt.payload:pos('begin'):insert(haka.vbuffer_from('> ')) end
}
haka.rule{
    hook = icmp.events.receive_packet,
    eval = function(pkt) pkt.payload:erase() end
}
haka.rule{
    hook = ipv4.events.receive_packet,
    eval = function(pkt)
        if pkt.proto == 47 then pkt.payload:replace(haka.vbuffer_from('another tunnel')) end
    end
}
