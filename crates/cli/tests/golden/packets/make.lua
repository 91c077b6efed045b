-- Answers questions itself, sends a packet twice, and lets one come in anew.
local seen = {}

haka.rule{
    hook = udp.events.receive_packet,
    eval = function(pkt)
        local ip = pkt.ip.version == 4 and ipv4.create(raw.create()) or ipv6.create(raw.create())
        ip.ttl = 60
        ip.src = pkt.ip.dst
        ip.dst = pkt.ip.src
        local answer = udp.create(ip, { srcport = pkt.dstport, dstport = pkt.srcport })
        answer.payload:pos('begin'):insert(haka.vbuffer_from('answer'))
        answer:send()
        pkt:drop()
    end
}
haka.rule{
    hook = tcp.events.receive_packet,
    eval = function(pkt)
        print('tcp', pkt.ip.src, pkt.dstport)
        if pkt.dstport == 80 then
            local rst = ipv4.create(raw.create())
            if pkt.ip.version == 6 then rst = ipv6.create(raw.create()) end
            rst.ttl, rst.src, rst.dst = 64, pkt.ip.src, pkt.ip.dst
            rst = tcp.create(rst)
            rst.srcport, rst.dstport, rst.seq = pkt.srcport, 81, 9
            rst.flags.rst = true
            rst:inject()
        end
    end
}
haka.rule{
    hook = icmp.events.receive_packet,
    eval = function(pkt)
        if not seen[pkt.ip.version] then
            seen[pkt.ip.version] = true
            pkt.code = 7
            pkt:inject()
        else
            print('icmp again', pkt.code)
            pkt:send()
        end
    end
}
haka.rule{
    hook = icmp.events.send_packet,
    eval = function(pkt) print('icmp leaves', pkt.code) end
}
