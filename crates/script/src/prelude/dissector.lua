-- Dissectors that scripts write: classes that follow a connection and raise events of their own.
local P = ...
local fail, fault, live, class = P.fail, P.fault, P.live, P.class
local setmetatable, rawget, type, tostring, format = setmetatable, rawget, type, tostring, string.format

local Dissector = class.class("Dissector")
local Flow = class.class("FlowDissector", Dissector)
local Tcp = class.class("TcpFlowDissector", Flow)
local Udp = class.class("UdpFlowDissector", Flow)
P.helper = { Dissector = Dissector, FlowDissector = Flow }
P.TcpFlowDissector, P.UdpFlowDissector = Tcp, Udp

-- `haka.dissector.new{ type = …, name = … }`: a class of the given kind.
function P.new_dissector(spec)
    if type(spec) ~= "table" or not class.isclass(spec.type) or not class.isa(spec.type, Dissector) then
        fail("haka.dissector.new: a table with a dissector class as 'type' expected")
    end
    if type(spec.name) ~= "string" then fail("haka.dissector.new: 'name' must be a string") end
    local made = class.class(spec.name, spec.type)
    made.method.name = spec.name
    made.events = P.events(spec.name, setmetatable({}, { __index = rawget(spec.type, "events") or nil }))
    -- Whoever writes one means to see the bytes.
    if class.isa(made, Tcp) then P.has_dissectors = true end
    return made
end

-- `continue(self)` decides in the place of `can_continue` whether the event goes on behind a listener.
local function register(cls, name, continue, streamed)
    if continue ~= nil and type(continue) ~= "function" then
        fail("register_event: a function expected as 'continue', got " .. type(continue))
    end
    if rawget(cls, "events") == nil then fail("register_event: a class of haka.dissector.new expected") end
    if type(name) ~= "string" then fail("register_event: the event's name expected") end
    P.add_event(cls.events, P.event(cls.name, name, { streamed = streamed, continue = continue }))
end

function Dissector.register_event(cls, name, continue) register(cls, name, continue, false) end
function Dissector.register_streamed_event(cls, name, continue) register(cls, name, continue, true) end

function Dissector.method:can_continue() return true end
function Dissector.method:continue() return self:can_continue() end

-- Calls the listeners of an event of ours, until one has ended us; whether we go on. The first
-- argument of a streamed event is a part of the stream, and nil at the end.
function Dissector.method:trigger(name, ...)
    local event = class.classof(self).events[name]
    local list, ends = event.list, event.streamed and (...) == nil
    for i = 1, #list do
        if list[i].streamed then
            P.trigger_streamed(self, list[i], ...)
        elseif not ends then
            list[i].eval(self, ...)
        end
        local goes_on = event.continue
        if goes_on then goes_on = goes_on(self, ...) else goes_on = self:can_continue() end
        if not goes_on or live.verdict >= 1 then return false end
    end
    return true
end

Dissector.method.send = function() end

function Flow.method:select_next_dissector(dissector)
    self.next_dissector = dissector
end

-- For a `receive` of one's own: runs a method as a streamed rule over the stream that it is given, from one event
-- to the next.
function Flow.method:streamed(method, stream, _, direction)
    if type(method) ~= "function" then fail("streamed: a method expected, got " .. type(method)) end
    if type(stream) ~= "table" or stream.fresh == nil then fail("streamed: the stream that 'receive' is given expected") end
    P.read_on(stream, method, method, self, direction)
end

-- The state machine of a dissector's class has an instance for each connection.
local function state_of(self)
    local state = self.state
    if state == nil then
        local machine = class.classof(self).state_machine
        if not machine then
            local name = tostring(self.name)
            local own = rawget(class.classof(self), "receive_streamed") and "; receive_streamed is a field of its class" or ""
            fail(format("%s: neither the method receive_streamed nor a state machine is defined%s: a method is"
                .. " a function Class.method:receive_streamed(iter, direction)", name, own))
        end
        state = machine:instanciate(self)
        self.state = state
    end
    return state
end
P.state_of = state_of

function Tcp.method:__init(flow)
    if not P.is_flow(flow) then fail("TcpFlowDissector: a TCP flow expected, got " .. type(flow)) end
    self.flow, self.connection = flow, flow.connection
    if class.classof(self).state_machine then state_of(self) end
end

function Udp.method:__init(flow)
    if not P.is_udp_flow(flow) then fail("UdpFlowDissector: a UDP flow expected, got " .. type(flow)) end
    self.flow, self.connection = flow, flow.connection
end

function Flow.method:can_continue() return self.flow ~= nil end

function Flow.method:drop()
    local flow = self.flow
    self.flow = nil
    if flow then flow:drop() end
end

function Tcp.method:reset()
    local flow = self.flow
    self.flow = nil
    if flow then flow:reset() end
end

function Tcp.method:send(direction)
    if self.flow then self.flow:send(direction) end
end

local function streamed(self, iterator, direction)
    return self:receive_streamed(iterator, direction)
end

function Tcp.method:receive(stream, _, direction)
    P.read_on(stream, self, streamed, self, direction)
    if self.flow then self.flow:send(direction) end
end

-- Those that read the stream itself, and not the part of it that is new.
P.reads_stream = { [Tcp.method.receive] = true }

function Tcp.method:receive_streamed(iterator, direction)
    local state = state_of(self)
    while iterator:wait() do
        local at, before = P.place(iterator), state.at
        state:update(iterator, direction)
        if not self:can_continue() then return end
        -- Nobody wanted these bytes: they go on, or this would never end.
        if P.place(iterator) == at and state.at == before and P.available(iterator) > 0 then
            iterator:sub("available")
        end
    end
end

-- A whole packet at a time.
function Udp.method:receive(payload, direction)
    state_of(self):update(payload:pos("begin"), direction)
end

function Udp.dissect(cls, flow)
    if not P.is_udp_flow(flow) then fail("dissect: a flow expected, got " .. type(flow)) end
    P.log("debug", "udp", format("selecting %s dissector on flow", cls.name))
    flow:select_next_dissector(cls:new(flow))
end

function Udp.install_udp_rule(cls, port)
    if type(port) ~= "number" then
        return fault(format("install_udp_rule: a port expected, got %s", type(port)))
    end
    P.rule {
        hook = P.udp_events.new_connection,
        name = "install " .. cls.name .. " dissector",
        eval = function(flow, pkt)
            if pkt.dstport == port then cls:dissect(flow) end
        end,
    }
end

function Tcp.dissect(cls, flow)
    if not P.is_flow(flow) then fail("dissect: a flow expected, got " .. type(flow)) end
    P.log("debug", "tcp", format("selecting %s dissector on flow", cls.name))
    flow:select_next_dissector(cls:new(flow))
end

local function is_port(value) return value >= 0 and value <= 65535 and value % 1 == 0 end

function Tcp.install_tcp_rule(cls, port)
    if type(port) ~= "number" then
        return fault(format("install_tcp_rule: a port expected, got %s", type(port)))
    end
    P.rule {
        hook = P.core.new_connection,
        name = "install " .. cls.name .. " dissector",
        -- No port, such as 80.5, is none that a connection has, either.
        match = is_port(port) and { dstport = port } or nil,
        eval = function(flow, pkt)
            if pkt.dstport == port then cls:dissect(flow) end
        end,
    }
end
-- As a misprint in the manual has it.
Tcp.install_udp_rule = Tcp.install_tcp_rule
