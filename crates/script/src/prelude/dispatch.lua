-- The calls by which the engine's events reach the rules.
--
-- Every dispatch begins at step `from`: 1, or the one after a rule that failed and was passed over.
-- Steps are listeners in order, over all lists of the event, then dissectors, then what ends it.
local P = ...
local live, core = P.live, P.core
local type, ipairs = type, ipairs

local DROP_PACKET, DROP = 1, 2

local run_timers, entry_of, flow_of, new_sub = P.run_timers, P.entry, P.flow, P.new_sub
local lend, surface, chosen = P.lend_event, P.surface, P.chosen
local let_sleep, ALL = P.let_sleep, 0
local data_rules = core.receive_data.list

-- The rules of an event that are to be asked.
local function asked(event, choice)
    return choice == ALL and event.list or chosen(event.list, choice)
end

-- Begins an event of a connection, whose first step is `at`. What is seldom to be done then is asked for at once.
local function begin_event(index, at)
    local now = live
    now.generation, now.verdict, now.index, now.at, now.list = now.generation + 1, 0, index, at, false
    if now.odd then
        now.ending, now.odd = false, now.timers
        if now.frame then now.frame = nil end
        if now.timers then run_timers() end
    end
end
P.begin_event = begin_event

local function begin(from, index)
    if from == 1 then
        begin_event(index, 0)
    else
        live.at = from - 1
    end
    return entry_of(index)
end

-- Calls the listeners of a list, the first of which is step `first`; false when one has ended it.
local function run(list, first, from, stop, ...)
    live.list, live.first = list, first
    for i = from > first and from - first + 1 or 1, #list do
        if live.verdict >= stop then return false end
        live.at = first + i - 1
        list[i].eval(...)
    end
    return live.verdict < stop
end

-- Whether bytes are heard for dissectors' sake, and whether a rule takes what is new as a part.
local hears_dissectors, takes_parts = false, false

local function up_or_down(is_up) return is_up and "up" or "down" end

-- What the flags of an event's data say: which way they go, whether they are the last, and whether they
-- may be changed.
local DIRECTION = { [0] = "down", "up", "down", "up", "down", "up", "down", "up" }
local ENDED = { [0] = false, false, true, true, false, false, true, true }
local WRITABLE = { [0] = false, false, false, false, true, true, true, true }

-- Why the data of an event that is not writable cannot be changed.
local why_not = P.read_only

-- Nobody will want to see the bytes of a connection without a dissector, if there is no rule for all:
-- they need not come here any more.
local function pass_over(entry, index)
    if #core.receive_data.list == 0 and not entry.dissector and not entry.unheard and index ~= 0 then
        entry.unheard = true
        P.native.unhear(index)
    end
end

-- Where rules look at bytes and do no more, nothing is kept from event to event.
local function look_at_data(from, index, choice, flags, offset, len)
    local list, direction = choice == ALL and data_rules or chosen(data_rules, choice), DIRECTION[flags]
    if from == 1 then
        begin_event(index, 0)
        live.current = lend(offset, len, ENDED[flags])
    end
    local flow, current = flow_of(index), live.current
    live.list, live.first = list, 1
    for i = from, #list do
        live.at = i
        list[i].eval(flow, current, direction)
        if live.verdict >= DROP_PACKET then return end
    end
end

local function receive_data(from, index, choice, flags, offset, len, seen)
    local entry, list = begin(from, index), asked(core.receive_data, choice)
    local direction, ended = DIRECTION[flags], ENDED[flags]
    local stream
    if from == 1 then
        live.at = 1
        stream = P.open_stream(entry, direction, offset, len, seen, ended, not WRITABLE[flags] and why_not)
    else
        stream = entry[direction]
    end
    local current
    if takes_parts and len > seen then
        current = new_sub(stream, stream.fresh, stream.base + stream.len, true)
    end
    live.list, live.first = list, 1
    for i = from, #list do
        if live.verdict >= DROP_PACKET then return end
        live.at = i
        local listener = list[i]
        if listener.streamed then
            P.read_on(stream, listener, listener.eval, entry.flow, direction)
        elseif current then
            listener.eval(entry.flow, current, direction)
        end
    end
    local dissector = entry.dissector
    if dissector and from <= #list + 1 and live.verdict < DROP_PACKET then
        live.at = #list + 1
        if type(dissector) == "table" then
            local receive = dissector.receive
            if not current and len > seen and not P.reads_stream[receive] then
                current = new_sub(stream, stream.fresh, stream.base + stream.len, true)
            end
            receive(dissector, stream, current, direction)
        end
    end
    if live.verdict >= DROP_PACKET then return end
    local last = #list + 2
    live.at = from > last and from or last
    P.close_stream(stream)
    if hears_dissectors then return pass_over(entry, index) end
    if #list == 1 and list[1].streamed and not entry.dissector then
        let_sleep(stream, list[1], index, direction)
    end
end

P.dispatch = {
    -- The emitter is the flow: a dropped packet does not stop later listeners, a dropped flow does.
    new_connection = function(from, index, choice, _, ...)
        local entry = begin(from, index)
        run(asked(core.new_connection, choice), 1, from, DROP, entry.flow, P.packet(...))
        if hears_dissectors then pass_over(entry, index) end
    end,
    receive_packet = function(from, index, choice, is_up, ...)
        local entry = begin(from, index)
        run(asked(core.receive_packet, choice), 1, from, DROP_PACKET, entry.flow, P.packet(...),
            up_or_down(is_up))
    end,
    receive_data = receive_data, look_at_data = look_at_data,
    end_connection = function(from, index, choice)
        local entry = begin(from, index)
        live.ending, live.odd = true, true
        run(asked(core.end_connection, choice), 1, from, DROP_PACKET, entry.flow)
    end,
    started = function(from)
        live.at = from - 1
        run(core.started.list, 1, from, DROP)
    end,
    exiting = function(from)
        live.at, live.verdict, live.flow, live.entry = from - 1, 0, nil, nil
        run(core.exiting.list, 1, from, DROP)
    end,
    forget = P.forget,
    -- Asked after each failure, which nothing that was called outlives.
    at = function()
        surface()
        return live.at
    end,
    -- Where the running rule begins, as far as that is known.
    begins = function()
        local rule = live.list and live.list[live.at - live.first + 1]
        return rule and P.native.defined_at(rule.eval) or ""
    end,
    -- Where a rule of packets has failed: the section of the log, and what stands before the message.
    place = function()
        return live.section or "lua", live.layer and live.layer .. ": " or ""
    end,
    receive_frame = P.frame_dispatch.receive_frame,
    receive_datagram = P.frame_dispatch.receive_datagram,
    send_frame = P.frame_dispatch.send_frame,
    -- Time has passed; whether there is more to do.
    expire = function(all)
        P.run_timers()
        return P.expire_udp(all)
    end,
    -- Closes the book of rules, and says what the script listens to and means to do.
    seal = function(names_http)
        live.loading = false
        if names_http or P.asks_for_http() or P.http.has_listeners() then
            -- Heads are held until they are there as a whole.
            P.has_dissectors, P.edits = true, true
        end
        local heard = {
            new_connection = #core.new_connection.list > 0,
            receive_packet = #core.receive_packet.list > 0,
            receive_data = #core.receive_data.list > 0 or P.has_dissectors or false,
            end_connection = #core.end_connection.list > 0,
            exiting = #core.exiting.list > 0,
            edits = P.edits or false, dissectors = P.has_dissectors or false,
            connections = P.follows_connections(),
            only_dissectors = P.has_dissectors and #core.receive_data.list == 0 or false,
        }
        P.heard_packets(heard)
        hears_dissectors = P.has_dissectors or false
        heard.looks_only = not hears_dissectors and not heard.edits
        for _, listener in ipairs(core.receive_data.list) do
            heard.looks_only = heard.looks_only and not listener.streamed
            takes_parts = takes_parts or not listener.streamed
        end
        return heard
    end,
    -- Whether the engine lets data be changed, whether nothing may change at all, and whether a rule that
    -- has failed counts as one that had nothing against it.
    allow = function(can_edit, pass_through, passes_errors)
        P.can_edit, P.pass_through, P.passes_errors = can_edit, pass_through, passes_errors
        if not can_edit and not pass_through then
            why_not = P.read_only .. ": the script names no call that changes bytes; give the rule"
                .. " options = { edits = true }"
        end
        P.why_not = why_not
        P.lend_because(why_not)
    end,
}
