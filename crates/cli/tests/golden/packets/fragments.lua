-- Each fragment at the level of IP, the whole above.
haka.rule{
    hook = ipv4.events.receive_packet,
    eval = function(pkt) print('ipv4', pkt.frag_offset, pkt.flags.mf, pkt.proto, #pkt.payload) end
}
haka.rule{
    hook = udp.events.receive_packet,
    eval = function(pkt)
        print('udp', pkt.payload, pkt:verify_checksum())
        pkt.payload:sub(0, 1):setstring('A')
    end
}
haka.rule{
    hook = tcp.events.receive_packet,
    eval = function(pkt) print('tcp', pkt.payload, pkt:verify_checksum()) end
}
haka.rule{
    hook = ipv4.events.send_packet,
    eval = function(pkt) print('leaves', pkt.frag_offset, pkt.flags.mf, #pkt.payload) end
}
