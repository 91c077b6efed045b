-- haka.patterns: literals and expressions at once, in pieces and in the whole.
local bad = haka.patterns{
    shell = "/bin/sh",
    union = { regexp = "union%s+select", nocase = true },
    agent = { literal = "EVILBOT", nocase = true },
}
local leaks = haka.patterns({ "root:", { regexp = ":[0-9]" } }, { every = true })

local function show(what, hits)
    for _, hit in ipairs(hits or {}) do print(what, hit.name, hit.from, hit.to) end
end
show("string", bad:match("evilbot runs /bin/sh and /bin/sh"))

haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function(flow, current, direction)
        if direction == "down" then return show("leak", leaks:match(current)) end
        local stream = bad:stream(flow, direction)
        for _, hit in ipairs(stream:feed(current) or {}) do
            haka.alert{
                description = "signature " .. hit.name .. " at " .. hit.to,
                severity = "high",
                sources = haka.alert.address(flow.srcip),
            }
        end
    end
}

haka.rule{
    hook = tcp_connection.events.receive_data,
    options = { streamed = true },
    eval = function(flow, iter, direction)
        local stream = bad:stream{ every = true }
        for part in iter:foreach_available() do show(direction, stream:feed(part)) end
    end
}
