-- Tells wrong checksums, and repairs those of the first two packets.
require('protocol/tcp')

haka.rule{
    hook = ipv4.events.receive_packet,
    eval = function(pkt)
        print('ipv4', pkt.raw.id, string.format('%04x', pkt.checksum), pkt:verify_checksum())
        if pkt.raw.id <= 2 then
            pkt:compute_checksum()
            print('', string.format('%04x', pkt.checksum), pkt:verify_checksum())
        end
    end
}
haka.rule{
    hook = tcp.events.receive_packet,
    eval = function(pkt)
        print('tcp', pkt.ip.raw.id, string.format('%04x', pkt.checksum), pkt:verify_checksum())
        if pkt.ip.raw.id <= 2 then
            pkt:compute_checksum()
            print('', string.format('%04x', pkt.checksum), pkt:verify_checksum())
        end
        if pkt.ip.raw.id == 5 then
            pkt.checksum = 0xdead
            print('set', pkt:verify_checksum())
        end
    end
}
