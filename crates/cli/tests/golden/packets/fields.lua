-- Prints every field of every packet, in the order of the events.
local raw = require('protocol/raw')
local ipv4 = require('protocol/ipv4')
require('protocol/tcp')
require('protocol/udp')
require('protocol/icmp')

local function rule(event, eval) haka.rule{ hook = event, eval = eval } end

rule(raw.events.receive_packet, function(pkt)
    print('raw', pkt.id, pkt.timestamp.seconds, #pkt.payload, pkt.next_dissector)
end)
rule(ipv4.events.receive_packet, function(pkt)
    print('ipv4', pkt.version, pkt.hdr_len, pkt.tos, pkt.len, pkt.id, pkt.frag_offset, pkt.ttl, pkt.proto,
        string.format('%04x', pkt.checksum), pkt.src, pkt.dst, #pkt.payload)
    print('', pkt.flags.rb, pkt.flags.df, pkt.flags.mf, pkt.flags.all, pkt:verify_checksum())
end)
rule(ipv6.events.receive_packet, function(pkt)
    print('ipv6', pkt.version, pkt.hdr_len, pkt.tos, pkt.flow_label, pkt.len, pkt.ttl, pkt.proto, pkt.src,
        pkt.dst, #pkt.payload)
end)
rule(tcp.events.receive_packet, function(pkt)
    print('tcp', pkt.srcport, pkt.dstport, pkt.seq, pkt.ack_seq, pkt.hdr_len, pkt.res, pkt.window_size,
        string.format('%04x', pkt.checksum), pkt.urgent_pointer, pkt.payload)
    local f = pkt.flags
    print('', f.fin, f.syn, f.rst, f.psh, f.ack, f.urg, f.ecn, f.cwr, f.all, pkt:verify_checksum())
end)
rule(udp.events.receive_packet, function(pkt)
    print('udp', pkt.srcport, pkt.dstport, pkt.length, string.format('%04x', pkt.checksum),
        pkt.payload, pkt:verify_checksum(), pkt.ip.src, pkt.ip.raw.id)
end)
rule(icmp.events.receive_packet, function(pkt)
    print('icmp', pkt.type, pkt.code, string.format('%04x', pkt.checksum), #pkt.payload,
        pkt:verify_checksum())
end)
for _, name in ipairs{ 'tcp', 'udp', 'icmp', 'ipv4', 'ipv6', 'raw' } do
    rule(_G[name].events.send_packet, function(pkt) print('send', pkt.name) end)
end
rule(tcp.events.send_packet, function(pkt) debug.pprint(pkt) end)
