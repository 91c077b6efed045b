-- Packets before connections, and connections before what leaves.
local tcp_connection = require('protocol/tcp_connection')

haka.rule{
    hook = tcp.events.receive_packet,
    eval = function(pkt)
        print('packet', pkt.flags.syn, pkt.payload)
        if pkt.payload:asstring() == 'drop me' then pkt:drop() end
        if pkt.payload:asstring() == 'hello' then pkt.payload[1] = 0x4a end
    end
}
haka.rule{
    hook = tcp_connection.events.new_connection,
    eval = function(flow, pkt) print('new', flow) end
}
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function(flow, current, direction) print('data', direction, current) end
}
haka.rule{
    hook = tcp.events.send_packet,
    eval = function(pkt) print('leaves', pkt.srcport, pkt.payload, pkt:verify_checksum()) end
}
