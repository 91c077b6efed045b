-- The way of a packet through the rules: raw, then IP, for each frame that arrives; the transport for each
-- whole datagram; on the way out the transport, IP, raw. Steps are counted over all lists of a call.
local P = ...
local ipairs, pairs = ipairs, pairs
local live, core, layers = P.live, P.core, P.layers
local DROP_PACKET = 1

-- Calls the listeners of a list, the first of which is step `first`; false when one has ended the
-- packet.
local function run(name, event, first, from, layer)
    local list = event.list
    live.list, live.first = list, first
    for i = from > first and from - first + 1 or 1, #list do
        if live.verdict >= DROP_PACKET then return false end
        live.at, live.layer = first + i - 1, name
        list[i].eval(layer)
    end
    return live.verdict < DROP_PACKET
end

-- The frame of the running event, made when its first step begins.
local function begin(from, len, network, version, transport, protocol, stop, is_fragment)
    if from == 1 then
        live.generation = live.generation + 1
        live.verdict, live.ending, live.flow, live.entry = 0, false, nil, nil
        live.section, live.layer = "lua", "raw"
        live.odd = true
        live.frame = P.event_frame(len, network, version, transport, protocol, stop, is_fragment)
    end
    live.at = from - 1
    if from == 1 then P.run_timers() end
    return live.frame
end

-- Hands over what the rules have made of the frame.
local function finish(frame)
    if live.verdict >= DROP_PACKET then return end
    local text = P.settle(frame)
    if text then P.native.emit(text) end
end

local HEADER_MIN = { tcp = 20, udp = 8, icmp = 4 }

-- The name of what a datagram carries, if its header is all there.
local function transport_name(frame)
    local name = not frame.is_fragment and P.transport_names[frame.protocol]
    local min = name and HEADER_MIN[name]
    if not min or frame.version == 0 or frame.stop - frame.transport < min then return nil end
    -- Each version has an ICMP of its own.
    if name == "icmp" and (frame.protocol == 1) ~= (frame.version == 4) then return nil end
    return name
end

local function ip_event(way, frame)
    return core[way .. (frame.version == 6 and "ipv6" or "ipv4")]
end

local function unknown(frame)
    return frame.version == 0 and P.raw_options.drop_unknown_dissector
end

local function receive_frame(from, ...)
    local frame = begin(from, ...)
    local raw = core.receive_raw
    if #raw.list > 0 and not run("raw", raw, 1, from, P.raw_of(frame)) then return end
    if unknown(frame) then
        P.log("warning", "raw", "dropping a packet of an unknown protocol")
        return P.decide(DROP_PACKET)
    end
    if frame.version ~= 0 then
        local event = ip_event("receive_", frame)
        if #event.list > 0
            and not run(event.module, event, #raw.list + 1, from, P.ip_of(frame))
        then
            return
        end
    end
    finish(frame)
end

local function receive_datagram(from, ...)
    local frame = begin(from, ...)
    local name = transport_name(frame)
    if not name then return end
    local event = core["receive_" .. name]
    local steps = #event.list
    local hears_flow = name == "udp" and P.hears_udp
    if steps > 0 or hears_flow then
        local packet = P.transport_of(frame, name)
        if not run(name, event, 1, from, packet) then return end
        if hears_flow and from <= steps + 1 then
            live.at = steps + 1
            P.udp_packet(packet)
        end
    end
    finish(frame)
end

local function send_frame(from, ...)
    local frame = begin(from, ...)
    frame.leaving = true
    local name, first = transport_name(frame), 1
    if name then
        local event = core["send_" .. name]
        if #event.list > 0
            and not run(name, event, first, from, P.transport_of(frame, name))
        then
            return
        end
        first = first + #event.list
    end
    if frame.version ~= 0 then
        local event = ip_event("send_", frame)
        if #event.list > 0 and not run(event.module, event, first, from, P.ip_of(frame)) then
            return
        end
        first = first + #event.list
    end
    local raw = core.send_raw
    if #raw.list > 0 and not run("raw", raw, first, from, P.raw_of(frame)) then return end
    finish(frame)
end

P.frame_dispatch = {
    receive_frame = receive_frame, receive_datagram = receive_datagram, send_frame = send_frame,
}

-- Which calls of the engine the script's rules of packets need.
function P.heard_packets(heard)
    P.hears_udp = P.follows_udp()
    local function any(way, ...)
        local all = 0
        for _, name in ipairs { ... } do all = all + #core[way .. name].list end
        return all > 0
    end
    heard.frames = any("receive_", "raw", "ipv4", "ipv6") or P.raw_options.drop_unknown_dissector
    heard.datagrams = any("receive_", "tcp", "udp", "icmp") or P.hears_udp
    heard.sending = any("send_", "raw", "ipv4", "ipv6", "tcp", "udp", "icmp")
    heard.time = P.hears_udp or P.machines.have_timeouts
    for number, name in pairs(P.transport_names) do
        if layers[name] then
            P.transports[number] = P.asked["protocol/" .. name]
                or #core["receive_" .. name].list + #core["send_" .. name].list > 0
                or (name == "udp" and P.hears_udp) or false
        end
    end
    if heard.datagrams and not P.ipv4_options.enable_reassembly then
        P.log("warning", "ipv4", "fragments are put together all the same: rules of what they carry need it")
    end
end
