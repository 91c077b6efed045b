-- Follows connections of UDP.
local udp_connection = require('protocol/udp_connection')

local function rule(event, eval) haka.rule{ hook = udp_connection.events[event], eval = eval } end

rule('new_connection', function(flow, pkt)
    print('new', flow, pkt.ip.src, flow.name)
    flow.mine = 0
end)
rule('receive_packet', function(flow, pkt, direction)
    print('packet', direction, pkt.srcport, #pkt.payload)
end)
rule('receive_data', function(flow, data, direction)
    flow.mine = flow.mine + #data
    print('data', direction, data, data.srcport, data.ip.ttl, flow.connection.in_pkts, flow.connection.out_bytes)
    if data:asstring() == 'drop' then flow:drop() end
    if data:sub(0, 6):asstring() == 'change' then data:sub(0, 6):replace(haka.vbuffer_from('leave')) end
end)
rule('end_connection', function(flow) print('end', flow, flow.mine) end)
