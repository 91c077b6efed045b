-- Looks at packets of TCP, whatever they belong to.
local tcp = require("protocol/tcp")

haka.rule{
    on = tcp.events.receive_packet,
    eval = function (pkt)
        print(pkt.ip.src, pkt.srcport, pkt.flags.psh, pkt.payload, pkt:verify_checksum())
    end
}
