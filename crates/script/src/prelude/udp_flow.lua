-- Connections of UDP: packets between the same two ends, until they are silent for a minute. They are kept
-- here and not in the engine, which follows TCP only.
local P = ...
local native, fail, live = P.native, P.fail, P.live
local setmetatable, type, tostring, pairs = setmetatable, type, tostring, pairs
local format = string.format

local IDLE_S = 60
-- The one that has been silent for longest makes room for a new one.
local FLOWS_MAX = 16384
-- So many are ended in one call, which the limit of instructions counts for all of them.
local ENDED_AT_ONCE = 64
local DROP_PACKET = 1

local events = {}
for _, name in ipairs { "new_connection", "receive_packet", "receive_data", "end_connection" } do
    events[name] = P.event("udp_connection", name)
end
P.udp_events = events

-- By key, and in the order of their last packets: `newer` and `older` link a ring through `ring`.
local flows, count = {}, 0
local ring = {}
ring.newer, ring.older = ring, ring

local methods, Flow = {}, { __metatable = false }
local entries = setmetatable({}, { __mode = "k" })

local function entry_of(self, what)
    local entry = entries[self]
    if not entry then fail(format("flow: %s: this connection has ended already", what)) end
    return entry
end

-- Its packets are dropped from now on, and for as long as they keep coming.
function methods:drop()
    local entry = entry_of(self, "drop")
    if entry.dropped then return end
    entry.dropped = true
    if entry == live.udp_entry then P.decide(DROP_PACKET) end
end

-- What rules have accepted goes on by itself.
function methods:send() entry_of(self, "send") end

function methods:select_next_dissector(dissector)
    entry_of(self, "select_next_dissector").dissector = dissector
end

function methods:can_continue()
    local entry = entries[self]
    return entry ~= nil and not entry.dropped
end
methods.continue = methods.can_continue

local function counts(entry)
    return setmetatable({}, {
        __metatable = false,
        __index = function(_, key) return entry.counts[key] end,
        __newindex = function() fail("flow.connection is read-only") end,
    })
end

function Flow:__index(key)
    if key == "connection" then return counts(entry_of(self, key)) end
    if key == "state" then
        return { current = methods.can_continue(self) and "established" or "dropped" }
    end
    return methods[key]
end

function Flow:__tostring()
    return format("%s:%d --> %s:%d", tostring(self.srcip), self.srcport, tostring(self.dstip),
        self.dstport)
end

function P.is_udp_flow(value)
    return type(value) == "table" and native.metatable(value) == Flow
end

local function unlink(entry)
    entry.newer.older, entry.older.newer = entry.older, entry.newer
end

local function link_newest(entry)
    local newest = ring.older
    entry.older, entry.newer = newest, ring
    newest.newer, ring.older = entry, entry
end

local function forget(entry)
    local dissector = entry.dissector
    local state = type(dissector) == "table" and dissector.state
    if state and state.forget then state:forget() end
    unlink(entry)
    flows[entry.key], entries[entry.flow] = nil, nil
    count = count - 1
end

-- Calls listeners until `stops` says that one has ended it.
local function call(event, stops, ...)
    local list = event.list
    for i = 1, #list do
        list[i].eval(...)
        if stops(live.udp_entry) then return false end
    end
    return true
end

local function is_dropped(entry) return entry.dropped end
local function is_packet_gone() return live.verdict >= DROP_PACKET end
local function never() return false end

local function tell_end(entry)
    if entry.told then return end
    entry.told = true
    call(events.end_connection, never, entry.flow)
end

-- Forgotten first, so that a rule that fails does not meet it again.
local function finish(entry)
    forget(entry)
    tell_end(entry)
end

-- What an event that failed has left behind: its connection is dropped, unless failed rules shall not
-- count.
local function clean_up()
    local failed = live.udp_entry
    if failed and not P.passes_errors then failed.dropped = true end
    live.udp_entry = nil
end

local ids = 0

local function open(key, packet, ip, now)
    if count >= FLOWS_MAX then finish(ring.newer) end
    ids = ids + 1
    local entry = {
        key = key, last = now, dropped = false, told = false, dissector = false,
        counts = { id = ids, in_pkts = 0, in_bytes = 0, out_pkts = 0, out_bytes = 0 },
        flow = setmetatable({
            srcip = ip.src, srcport = packet.srcport, dstip = ip.dst, dstport = packet.dstport,
            name = "udp_connection",
        }, Flow),
    }
    flows[key], entries[entry.flow] = entry, entry
    count = count + 1
    link_newest(entry)
    return entry
end

local function add_up(entry, is_up, bytes)
    local all, pkts, sum = entry.counts, "out_pkts", "out_bytes"
    if is_up then pkts, sum = "in_pkts", "in_bytes" end
    all[pkts], all[sum] = all[pkts] + 1, all[sum] + bytes
end

-- The listeners of a packet of a connection, and its dissector.
local function show(entry, packet, direction)
    local flow = entry.flow
    if not call(events.receive_packet, is_packet_gone, flow, packet, direction) then return end
    if #events.receive_data.list > 0 then
        local data = P.udp_data(packet)
        if not call(events.receive_data, is_packet_gone, flow, data, direction) then return end
    end
    local dissector = entry.dissector
    if type(dissector) == "table" then dissector:receive(packet.payload, direction) end
end

local function find(packet, ip)
    local from = format("%s.%d", tostring(ip.src), packet.srcport)
    local to = format("%s.%d", tostring(ip.dst), packet.dstport)
    local up = from .. "-" .. to
    local entry = flows[up]
    if entry then return entry, true, up end
    return flows[to .. "-" .. from], false, up
end

-- A packet has come past the rules of packets.
function P.udp_packet(packet)
    clean_up()
    live.section, live.layer = "udp", false
    local ip, now = packet.ip, packet.timestamp.seconds
    local entry, is_up, key = find(packet, ip)
    -- Time may have passed without anybody's telling.
    if entry and entry.last + IDLE_S <= now then
        finish(entry)
        entry = nil
    end
    if entry and entry.dropped then return P.decide(DROP_PACKET) end
    local is_new = not entry
    if is_new then
        entry, is_up = open(key, packet, ip, now), true
    else
        entry.last = now
        unlink(entry)
        link_newest(entry)
    end
    add_up(entry, is_up, ip.len)
    live.udp_entry = entry
    -- The emitter is the connection: a dropped packet does not stop later listeners.
    if is_new then call(events.new_connection, is_dropped, entry.flow, packet) end
    if is_new and live.verdict >= DROP_PACKET then
        entry.dropped = true
    elseif not entry.dropped then
        show(entry, packet, is_up and "up" or "down")
    end
    if entry.dropped then tell_end(entry) end
    live.udp_entry = nil
end

-- Ends those that have been silent for too long, or all of them; whether there may be more.
function P.expire_udp(all)
    clean_up()
    live.generation = live.generation + 1
    live.verdict, live.frame = 0, nil
    P.run_timers()
    local now = P.now().seconds
    for _ = 1, ENDED_AT_ONCE do
        local oldest = ring.newer
        if oldest == ring or not (all or oldest.last + IDLE_S <= now) then return false end
        finish(oldest)
    end
    return true
end

function P.follows_udp()
    for _, event in pairs(events) do
        if #event.list > 0 then return true end
    end
    return false
end
