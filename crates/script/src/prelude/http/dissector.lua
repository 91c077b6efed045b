-- The dissector of HTTP: follows both directions of a connection, raises the events of requests,
-- responses and their bodies, and writes what rules have changed.
local P = ...
local native, http, live, fail = P.native.http, P.http, P.live, P.fail
local class, core = P.class, P.core
local rawset, rawget, type, tostring = rawset, rawget, type, tostring
local format, setmetatable = string.format, setmetatable
local begin_event, flow_of, hearers = P.begin_event, P.flow, P.hearers
local new_request, pass_head = http.new_request, http.pass_head

local MORE, HEAD, BODY, FRAMING, WRONG = 0, 1, 2, 3, 5

local request = P.event("http", "request")
local response = P.event("http", "response")
local requested = request.list
local data_events = {
    up = P.event("http", "request_data", { streamed = true }),
    down = P.event("http", "response_data", { streamed = true }),
}
local any_data = P.event("http", "receive_data", { streamed = true })

http.events = P.events("http", {
    request = request, response = response, request_data = data_events.up,
    response_data = data_events.down, receive_data = any_data,
})

function http.has_listeners()
    return #request.list + #response.list + #data_events.up.list + #data_events.down.list
        + #any_data.list > 0
end

-- What a script may choose, and what it may choose from.
local POLICY = { refuse = true, alert = true, pass = true }
local options = { ambiguous = "refuse", head_bytes_max = 64 * 1024 }
local HEAD_BYTES_LEAST, HEAD_BYTES_MOST = 256, P.native.unread_max

http.options = setmetatable({}, {
    __metatable = false,
    __index = function(_, key)
        if options[key] == nil then fail(format("http.options: unknown option '%s'", tostring(key))) end
        return options[key]
    end,
    __newindex = function(_, key, value)
        if key == "ambiguous" then
            if not POLICY[value] then
                fail("http.options.ambiguous: 'refuse', 'alert' or 'pass' expected")
            end
        elseif key == "head_bytes_max" then
            if type(value) ~= "number" or value < HEAD_BYTES_LEAST or value > HEAD_BYTES_MOST then
                fail(format("http.options.head_bytes_max: a number from %d to %d expected",
                    HEAD_BYTES_LEAST, HEAD_BYTES_MOST))
            end
        else
            fail(format("http.options: unknown option '%s'", tostring(key)))
        end
        options[key] = value
    end,
})

local Http = class.class("http", P.TcpFlowDissector)
http.class = Http
Http.method.name = "http"

-- The stream is no HTTP.
local function refuse(self, description)
    P.alert { description = description, severity = "low" }
    self:drop()
end

-- Whether the connection goes on in spite of something that not everyone reads alike.
local function tolerates(self, shape, is_up)
    if options.ambiguous == "pass" then return true end
    local flow = self.flow
    local client, server = P.alert.address(flow.srcip), P.alert.address(flow.dstip)
    P.alert {
        description = "ambiguous http message: " .. shape, severity = "high",
        sources = is_up and client or server, targets = is_up and server or client,
    }
    if options.ambiguous == "alert" then return true end
    self:drop()
    return false
end

-- Whether no rule wants all data.
local function can_skip() return #core.receive_data.list == 0 end

-- Whether any rule wants the bodies of a direction.
local function hears_data(direction) return #data_events[direction].list + #any_data.list > 0 end

local function goes_on(self) return self.flow ~= nil and live.verdict < 1 end

local function call(self, list, ...)
    for i = 1, #list do
        list[i].eval(self, ...)
        if not goes_on(self) then return false end
    end
    return true
end

-- Shows a part of a body, or with `current` nil its end.
local function tell(self, list, body, current, direction)
    for i = 1, #list do
        local listener = list[i]
        if listener.streamed then
            if current or body.received > 0 then
                P.read_on(body.store, listener, listener.eval, self, direction)
            end
        elseif current then
            listener.eval(self, current, direction)
        end
        if not goes_on(self) then return false end
    end
    return true
end

local function tell_all(self, side, body, current)
    local direction = side.direction
    return tell(self, data_events[direction].list, body, current, direction)
        and tell(self, any_data.list, body, current, direction)
end

-- The body ends before `at` of the connection's stream. Gives that place as it is then, or nil if
-- the connection is over.
local function finish_body(self, side, stream, at)
    local body, len = side.body, stream.len
    body.store.ended = true
    -- A place for what rules put behind the last byte.
    if #body.pieces == 0 then http.add_to_body(body, at, 0) end
    if not tell_all(self, side, body, nil) then return nil end
    http.close_body(body, true)
    side.body = false
    return at + stream.len - len
end

local function begin_request(self, message, number)
    self.request = message
    local asked = self.asked
    if asked then
        asked[number] = message
        rawset(self, "response", nil)
    end
end

-- The message object of a head, or nil if no rule wants to see it.
local function new_message(self, stream, is_up, number, kind, wanted)
    local asked = self.asked
    if not is_up then
        local answered = native.answered(self.talk)
        rawset(self, "request", asked and asked[answered])
        rawset(self, "response", nil)
    end
    if not wanted and not (is_up and asked) then return nil end
    local message = http.message(self.talk, number, is_up, not stream.why or stream.why, kind)
    if is_up then
        begin_request(self, message, number)
    else
        rawset(self, "response", message)
    end
    return message
end

-- The rules have let a head pass. Gives where the stream goes on behind it.
local function head_goes_on(self, side, stream, at, len, message, kind)
    local hears = side.hears
    local frame_at, frame_len
    if hears and kind == "length" and not stream.why then
        frame_at, frame_len = http.length_field(message)
        frame_at = frame_at and P.new_iterator(stream, at + frame_at)
    end
    local after = at + len + http.write_head(message, stream, at)
    local chunks = http.has_chunks(message)
    if kind and (hears or chunks) then
        local body = http.new_body(stream, kind, chunks)
        side.body = body
        if frame_at and not chunks then http.frame(body, P.place(frame_at), frame_len, 10) end
    end
    return after
end

-- A head is there as a whole. Gives where the stream goes on behind it, or nil if it does not.
local function on_head(self, side, stream, at, len, number, kind)
    local is_up = side.direction == "up"
    local list, hears = is_up and request.list or response.list, side.hears
    local message = new_message(self, stream, is_up, number, kind, hears or #list > 0)
    if not message then return at + len end
    if not call(self, list, message) then return nil end
    return head_goes_on(self, side, stream, at, len, message, kind)
end

-- Bytes around those of a chunked body. Gives where the stream goes on behind them, or nil.
local function on_framing(self, side, stream, at, len, digits_at, digits_len, trailer)
    local body = side.body
    if not body then return at + len end
    if trailer then
        at = finish_body(self, side, stream, at)
        if not at then return nil end
    end
    if stream.why then return at + len end
    if body.chunks then
        -- The framing is ours; the trailer stays.
        local out, text = trailer or len, trailer and "0\r\n" or ""
        P.splice(stream, at, out, text)
        return at + len + #text - out
    end
    body.frame = false
    if digits_at then http.frame(body, at + digits_at, digits_len, 16) end
    return at + len
end

local function message_ends(self, side)
    if side.direction == "up" then return end
    local answered = native.done(self.talk)
    if answered and self.asked then self.asked[answered] = nil end
end

-- Another protocol: for a dissector of the script's own, if it has chosen one.
local function on_raw(self, side, stream, at, stop)
    local dissector = self.next_dissector
    side.is_raw = true
    if not dissector then return end
    stream.fresh = at
    dissector:receive(stream, stop > at and P.new_sub(stream, at, stop, true) or nil, side.direction)
end

-- Takes one step at `at`; gives where the next begins, or nil if there is none.
local function step(self, side, stream, at, stop)
    local text, index = stream.text, at - stream.base
    if not text then
        index = index + stream.off
    elseif stream.patch then
        text = P.whole(stream)
    end
    local code, len, ends, why, x, y, z =
        native.step(self.talk, side.direction == "up", text, index, stop - at)
    if code == WRONG then return refuse(self, why) end
    if why and not tolerates(self, why, side.direction == "up") then return nil end
    if code == MORE then
        side.head = P.new_iterator(stream, at)
        return nil
    end
    side.is_within = not ends
    local after = at + len
    if code == HEAD then
        after = on_head(self, side, stream, at, len, x, y)
    elseif code == BODY then
        local body = side.body
        if body then
            if not tell_all(self, side, body, http.add_to_body(body, at, len)) then return nil end
            if ends then after = finish_body(self, side, stream, after) end
        end
    elseif code == FRAMING then
        after = on_framing(self, side, stream, at, len, x, y, z)
    else
        on_raw(self, side, stream, at, stop)
    end
    if not after or not goes_on(self) then return nil end
    if ends then message_ends(self, side) end
    return after
end

-- The sender has finished.
local function on_end(self, side, stream, stop)
    if side.is_raw then return on_raw(self, side, stream, stop, stop) end
    local head = side.head
    local at = head and P.place(head) or stop
    local ends, why = native.finish(self.talk, side.direction == "up",
        stop > at and P.whole(stream) or "", at - stream.base, stop - at)
    if why then return refuse(self, why) end
    if side.body and not finish_body(self, side, stream, stop) then return end
    if ends then message_ends(self, side) end
end

-- What is known of a direction, once it is read as a stream.
local function side_of(self, direction)
    local side = rawget(self, direction)
    if side then return side end
    local hears, is_up = hears_data(direction), direction == "up"
    side = {
        direction = direction, head = false, body = false, expected = false, is_within = false,
        is_raw = false, sleeps = self.begun, hears = hears,
        may_sleep = can_skip() and not (is_up and hears or not is_up and self.asked),
    }
    rawset(self, direction, side)
    return side
end

-- Bytes may have passed unseen: those that nobody wanted to see, or else those of an event that a rule
-- broke off, after which nothing can be told any more.
local function catch_up(self, side, stream)
    local is_up = side.direction == "up"
    if side.sleeps then
        local ahead = native.ahead(self.talk, is_up)
        side.sleeps = false
        if ahead > 0 then
            side.expected = (side.expected or 0) + ahead
        elseif is_up and not side.expected and native.has_begun(self.talk) then
            -- It was the first request's event that broke off.
            side.expected = 0
        end
    end
    side.expected = side.expected or stream.fresh_sent
    local unseen = stream.fresh_sent - side.expected
    if unseen <= 0 then return end
    local could_pass, ended = native.pass(self.talk, is_up, unseen)
    if ended then message_ends(self, side) end
    if not could_pass then
        P.log("warning", "http", "bytes have passed unseen: the connection is no longer read")
        native.give_up(self.talk)
        side_of(self, "up").body, side_of(self, "down").body, side.head = false, false, false
    end
end

-- Lets what is plain from `position` on be read in Rust, if that may come next.
local function sleep(self, is_up, position)
    local tells = #request.list > 0 or self.asked ~= false
    if not native.sleep(self.talk, live.index, is_up, position, tells) then return false end
    if is_up then hearers[live.index] = self end
    return true
end

-- Where there is nothing to tell of what comes next, it need not come here: of what is plain, or of the rest of
-- something long.
local function rest(self, side, position)
    if side.body or self.next_dissector or live.index == 0 then return end
    -- A rule may have put another into our place.
    if P.live_entry().dissector ~= self then return end
    local is_up = side.direction == "up"
    if side.may_sleep and sleep(self, is_up, position) then
        side.sleeps = true
    elseif can_skip() and side.is_within then
        native.skip(self.talk, live.index, is_up, position)
    end
end

-- Reads the stream from `at` on, as far as it has come.
local function read(self, side, stream, at)
    local stop
    while true do
        stop = stream.base + stream.len
        if at >= stop then break end
        local after = step(self, side, stream, at, stop)
        if not after or not goes_on(self) then break end
        at = after
    end
    if not goes_on(self) then return end
    stop = stream.base + stream.len
    if stream.ended then on_end(self, side, stream, stop) end
    if not goes_on(self) then return end
    if side.body then http.close_body(side.body, false) end
    if side.head and not stream.ended then
        if not stream.marks then stream.marks = {} end
        stream.marks[side] = { at = side.head, why = "mark" }
    end
    side.expected = stream.next
    if not side.head and not stream.ended then rest(self, side, stream.next) end
end

local function receive(self, stream, _, direction)
    local side = side_of(self, direction)
    catch_up(self, side, stream)
    local at = side.head and P.place(side.head) or stream.fresh
    side.head = false
    if stream.marks then stream.marks[side] = nil end
    read(self, side, stream, at)
end

P.reads_stream[receive] = true

-- If the connection is new, its first messages may be plain as well.
P.begins[receive] = function(self)
    if self.begun or not can_skip() or live.index == 0 or rawget(self, "up") or rawget(self, "down") then return end
    self.begun = true
    if not hears_data("up") then sleep(self, true, 0) end
    if not self.asked then sleep(self, false, 0) end
end

-- A request that came whole, as the `len` bytes at `offset` of the stream that begin with its head, for a dissector
-- that waits for such. Whether all of them have gone on; if not, they have been read as a stream, for somebody
-- wants that.
function P.dispatch.request(from, index, number, head_len, has_body, writable, offset, len)
    -- Who has failed is the dissector, behind which nothing is to be done.
    if from > 1 then return false end
    local self = hearers[index]
    begin_event(index, 1)
    flow_of(index)
    if live.verdict > 0 then return false end
    local kind, why = has_body and "length", not writable and P.why_not
    local message = new_request(self.talk, number, not why or why, kind)
    self.request = message
    local asked = self.asked
    if asked then begin_request(self, message, number) end
    for i = 1, #requested do
        requested[i].eval(self, message)
        if self.flow == nil or live.verdict > 0 then return false end
    end
    if hearers[index] == self and not self.next_dissector and pass_head(message, offset) then return true end
    local entry, up = P.entry(index), side_of(self, "up")
    local stream = P.open_stream(entry, "up", offset, len, 0, false, why)
    up.expected = up.expected or offset
    catch_up(self, up, stream)
    up.is_within = has_body
    read(self, up, stream, head_goes_on(self, up, stream, stream.fresh, head_len, message, kind))
    P.close_stream(stream)
    return false
end

-- Of the message whose event is running.
function Http.method:enable_data_modification()
    local message = self.response or self.request
    if not message then fail("http: enable_data_modification: there is no message yet") end
    message:enable_data_modification()
end

function Http.method:__init(flow)
    class.super(Http).__init(self, flow)
    -- What the class would be asked for in each event, in vain or not.
    rawset(self, "receive", receive)
    rawset(self, "next_dissector", false)
    -- What is there is replaced at less cost than what is not.
    rawset(self, "request", false)
    self.talk = native.new(options.head_bytes_max, options.ambiguous ~= "refuse")
    -- The requests that wait, if anyone will want to see them.
    self.asked = (#response.list > 0 or hears_data("down")) and {} or false
    -- Whether plain messages were taken in Rust from the first byte on.
    self.begun = false
end
