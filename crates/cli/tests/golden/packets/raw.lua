-- What is known of a frame whatever it carries.
haka.rule{
    hook = raw.events.receive_packet,
    eval = function(pkt)
        local time = pkt.timestamp
        print(pkt.name, pkt.id, time, time.secs, time.nsecs, pkt:state(), haka.network_time() == time)
        print(#pkt.payload, pkt.payload:sub(0, 4):asnumber(), pkt.next_dissector)
    end
}
haka.rule{
    hook = raw.events.send_packet,
    eval = function(pkt) if not pkt.next_dissector then pkt:drop() end end
}
