-- Writes at every level.
require('protocol/tcp')
require('protocol/udp')
require('protocol/icmp')

local function rule(event, eval) haka.rule{ hook = event, eval = eval } end

rule(ipv4.events.receive_packet, function(pkt)
    pkt.tos = 8
    pkt.ttl = 33
    pkt.id = 0xbeef
    pkt.flags.df = false
    pkt.src = ipv4.addr(10, 0, 0, 1)
end)
rule(ipv6.events.receive_packet, function(pkt)
    pkt.ttl = 33
    pkt.flow_label = 5
    pkt.dst = ipv6.addr('fd00::99')
end)
rule(tcp.events.receive_packet, function(pkt)
    pkt.dstport = 8080
    pkt.flags.urg = true
    pkt.urgent_pointer = 1
    pkt.payload[1] = 0x4a
end)
rule(udp.events.receive_packet, function(pkt)
    pkt.srcport = 1
    pkt.payload:sub(0, 1):setstring('Q')
end)
rule(icmp.events.receive_packet, function(pkt) pkt.code = 1 end)
rule(tcp.events.send_packet, function(pkt) pkt.seq = pkt.seq + 1 end)
rule(ipv4.events.send_packet, function(pkt) pkt.ttl = pkt.ttl - 1 end)
rule(raw.events.send_packet, function(pkt)
    if not pkt.next_dissector then pkt.payload[1] = 9 end
end)
