-- Words in a stream are replaced before the receiver sees them; both ends' connections stay intact, whatever
-- the length.
--
--   tollgate check FILE                                       every slip, before traffic meets it
--   tollgate replay --rules FILE -r in.pcap -w out.pcap       what it does to a capture; no root, no network
--   tollgate run --pair eth1:eth2 --rules FILE                in the wire
--
-- What there is to see and do: docs/rules.md; expressions and signatures: docs/matching.md.

local rem = require("regexp/pcre")
local secret = rem.re:compile("secret-[0-9a-f]+", rem.re.CASE_INSENSITIVE)

haka.rule{
    hook = tcp_connection.events.receive_data,
    -- A coroutine for each direction of each connection: its reads wait for what has not arrived.
    options = { streamed = true },
    eval = function(flow, iter, direction)
        if direction == "up" then return end -- not called again for this direction
        -- Bytes wait only while they may belong to a match, wherever the network cuts them.
        local found = secret:match(iter, true)
        while found do
            haka.log.info("%s: removed %d bytes", flow, #found)
            found:replace(haka.vbuffer_from("[removed]"))
            found = secret:match(iter, true)
        end
    end
}
