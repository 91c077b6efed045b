//! The rules that the tests give to the program.

/// Everything may pass, and every byte is looked at.
pub(crate) const ACCEPT: &str = "
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        assert(#current > 0)
    end
}
";

/// A word in the stream names what shall become of the connection.
pub(crate) const OBEY: &str = "
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        local text = current:asstring()
        if text:find('please halfreset', 1, true) then
            flow:halfreset()
        elseif text:find('please reset', 1, true) then
            flow:reset()
        elseif text:find('please drop', 1, true) then
            flow:drop()
        end
    end
}
";

/// No connection to port 81 is let in, and those to port 82 are reset at their first packet.
pub(crate) const REFUSE: &str = "
haka.rule{
    hook = tcp_connection.events.new_connection,
    eval = function (flow, pkt)
        if pkt.dstport == 81 then
            haka.alert{
                description = 'Not through this door',
                sources = haka.alert.address(pkt.ip.src, pkt.srcport),
                targets = haka.alert.address(pkt.ip.dst, pkt.dstport)
            }
            pkt:drop()
        elseif pkt.dstport == 82 then
            flow:reset()
        end
    end
}
";
