-- The flow object: a plain table, so that rules keep what they like in it, for as long as the
-- connection lives. What changes from event to event is read from the running event.
local P = ...
local native, fail, live = P.native, P.fail, P.live
local setmetatable, type, format, tostring = setmetatable, type, string.format, tostring
local rawget, rawset = rawget, rawset

-- By the connection's index: its object, and what is kept beside it where anything is.
local flows, entries = {}, {}
local methods, Flow = { name = "tcp_connection" }, { __metatable = false }
local DROP, HALFRESET, RESET = 2, 3, 4
-- No greater than to accept, so that the other rules of the event are called.
local SHUNT = 5

-- The greater verdict wins.
function P.decide(verdict)
    if verdict > live.verdict then
        live.verdict = verdict
        native.verdict(verdict)
    end
end

local function current(self, what)
    if self ~= live.flow then
        if not P.is_flow(self) then fail(format("flow.%s: call it with a colon, as flow:%s()", what, what)) end
        fail(format("flow: %s: this is not the connection of the running event", what))
    end
end

-- What a timeout has decided about a connection whose event this is not: its next event carries it out.
local DOOM, any_doomed = {}, false

function P.doom(flow, verdict)
    if native.metatable(flow) ~= Flow then return flow:drop() end
    if verdict == SHUNT and rawget(flow, DOOM) then return end
    rawset(flow, DOOM, verdict or DROP)
    any_doomed = true
    native.doomed()
end

local function decide(self, what, verdict)
    if live.timing and self ~= live.flow then return P.doom(self, verdict) end
    current(self, what)
    if live.ending then fail(format("flow: %s: the connection has ended already", what)) end
    if verdict == SHUNT then native.verdict(SHUNT) else P.decide(verdict) end
end

function methods:drop() decide(self, "drop", DROP) end
function methods:halfreset() decide(self, "halfreset", HALFRESET) end
function methods:reset() decide(self, "reset", RESET) end
function methods:shunt() decide(self, "shunt", SHUNT) end

-- What the rules of this event have accepted leaves when they have returned, and nothing older
-- waits: rules cannot hold bytes back yet. So there is nothing to do but to check the argument.
function methods:send(direction)
    current(self, "send")
    if direction ~= nil and direction ~= "up" and direction ~= "down" then
        fail(format("flow: send: 'up', 'down' or nothing expected, got '%s'", tostring(direction)))
    end
end

function methods:can_continue()
    current(self, "can_continue")
    return live.verdict < DROP
end
methods.continue = methods.can_continue

-- By how a dissector receives bytes: what is to be done once it was chosen.
P.begins = {}
-- By the connection's index: the dissector that is told of plain requests, until another is chosen.
P.hearers = {}
local hearers = P.hearers

-- What follows the connection's bytes once the rules have seen them.
function methods:select_next_dissector(dissector)
    current(self, "select_next_dissector")
    local entry = P.live_entry()
    entry.dissector = dissector
    native.wake(live.index)
    hearers[live.index] = nil
    entry.unheard = nil
    native.hear(live.index)
    local begin = type(dissector) == "table" and P.begins[rawget(dissector, "receive")]
    if begin then begin(dissector) end
end

local function live_view(what, getters)
    return {
        __metatable = false,
        __index = function(self, key)
            local get = getters[key]
            if not get then return nil end
            current(self[1], what)
            return get()
        end,
        __newindex = function() fail(format("flow.%s is read-only", what)) end,
    }
end
local Connection = live_view("connection", native.connection)
local State = live_view("state", { current = native.state })

-- `flow.stream.up` and `.down`. In Haka they are the engine's own, with calls that push packets and take them
-- out again; here a script can name them and no more: their bytes come in events.
local Direction = {
    __metatable = false,
    __index = function(self, key)
        fail(format("flow.stream.%s: '%s' is the engine's own; bytes come in receive_data", self[1], tostring(key)))
    end,
    __newindex = function(self) fail(format("flow.stream.%s is read-only", self[1])) end,
    __tostring = function(self) return format("stream %s of %s", self[1], tostring(self[2])) end,
}
local Stream = {
    __metatable = false,
    fields = { "down", "up" },
    __index = function(self, key)
        if key == "up" or key == "down" then return setmetatable({ key, self[1] }, Direction) end
    end,
    __newindex = function() fail("flow.stream is read-only") end,
}

function Flow:__index(key)
    if key == "connection" then return setmetatable({ self }, Connection) end
    if key == "stream" then return setmetatable({ self }, Stream) end
    if key == "state" then return setmetatable({ self }, State) end
    return methods[key]
end

function Flow:__tostring()
    return format("%s:%d --> %s:%d", tostring(self.srcip), self.srcport, tostring(self.dstip),
        self.dstport)
end

-- The object of a flow, which the running event is about. Index 0 is a flow that no later event can ask for.
function P.flow(index)
    local flow = flows[index]
    if not flow then
        local srcport, dstport = native.ports()
        flow = setmetatable({
            srcip = P.addr(native.addr(1)), srcport = srcport,
            dstip = P.addr(native.addr(2)), dstport = dstport,
        }, Flow)
        if index ~= 0 then flows[index] = flow end
    end
    live.flow = flow
    local doom = any_doomed and rawget(flow, DOOM)
    if doom == SHUNT then
        rawset(flow, DOOM, nil)
        native.verdict(SHUNT)
    elseif doom then
        P.decide(doom)
    end
    return flow
end
local flow_of = P.flow

-- The entry of a flow: its object, and what is kept beside it: its streams by direction, its dissector.
function P.entry(index)
    local flow, entry = flow_of(index), entries[index]
    if not entry then
        entry = { flow = flow }
        if index ~= 0 then entries[index] = entry end
    end
    live.entry = entry
    return entry
end

-- The entry of the running event's flow, if the event did without one so far.
function P.live_entry()
    local entry = live.entry
    if entry and entry.flow == live.flow then return entry end
    return P.entry(live.index)
end

function P.forget(index)
    local entry = entries[index]
    if entry then
        local dissector = entry.dissector
        local state = type(dissector) == "table" and dissector.state
        if state and state.forget then state:forget() end
        entries[index] = nil
    end
    -- Nil where there is nothing would make a place for it.
    if flows[index] then flows[index] = nil end
    if hearers[index] then hearers[index] = nil end
end

function P.is_flow(value)
    return type(value) == "table" and native.metatable(value) == Flow
end
