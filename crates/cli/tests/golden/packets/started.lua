-- Makes packets before any arrives: they leave first, in their order.
haka.rule{
    hook = haka.events.started,
    eval = function()
        for i = 1, 2 do
            local ip = ipv4.create(raw.create())
            ip.src, ip.dst, ip.ttl = ipv4.addr("198.18.0.1"), ipv4.addr("198.18.1.1"), 9
            udp.create(ip, { srcport = i, dstport = 7, payload = haka.vbuffer_from("before all") }):send()
        end
    end
}
