-- `haka.state_machine.new("name", function() … end)`: states, and what leads from one to the next.
--
-- A transition belongs to a state or to `any` of them, listens to an event, and may ask (`when`), act
-- (`execute`) and go on to another state (`jump`). Of those for one event the first whose `when` agrees is
-- taken, the state's own before those of `any`.
local P = ...
local fail, class = P.fail, P.class
local setmetatable, rawget, type, tostring = setmetatable, rawget, type, tostring
local pairs, ipairs, format, setfenv = pairs, ipairs, string.format, setfenv

-- Transitions that jump from their own `enter` or `leave` could do so for ever.
local JUMPS_MAX = 100

local State = class.class("State")
local Bidirectional = class.class("BidirectionalState", State)
-- What is told by the machine itself; `timeout` is made with its seconds.
State.events = { "init", "enter", "leave", "fail", "finish" }
Bidirectional.events = { "up", "down", "parse_error", "missing_grammar" }

local machines = { have_timeouts = false }
P.machines = machines

function State.method:__init() end

-- What `update` of an instance does in this state.
function State.method:update(instance)
    fail(format("%s: its states take no data", tostring(instance)))
end

-- A grammar's rule for what comes from the client, and one for what comes from the server; either may be nil.
function Bidirectional.method:__init(up, down)
    for which, rule in pairs { up = up or nil, down = down or nil } do
        if type(rule) ~= "table" or not P.grammar.is_entity(rule) then
            fail(format("state: a rule of a grammar expected for '%s', got %s", which, type(rule)))
        end
    end
    self.up, self.down = up, down
end

function Bidirectional.method:update(instance, iter, direction, ...)
    if direction ~= "up" and direction ~= "down" then
        fail(format("%s: update: 'up' or 'down' expected, got '%s'", tostring(instance), tostring(direction)))
    end
    local rule = self[direction]
    if not rule then return instance:trigger("missing_grammar", direction, iter, ...) end
    local owner = instance.owner
    local result, problem = rule:parse(iter, nil, owner)
    -- A function of the grammar may have ended it all.
    if instance.finished then return end
    if problem then
        if not instance:trigger("parse_error", problem, ...) then
            P.log("error", "state_machine", format("%s: %s", tostring(instance), tostring(problem)))
            instance:jump("fail")
        end
        return
    end
    return instance:trigger(direction, result, ...)
end

local Event = { __metatable = false }

-- An event by name: those of the state's class and of its ancestors, and, where the class is the script's own,
-- any other that it triggers itself.
local function events_of(of)
    local known = { timeout = true }
    for each in class.ancestors(of) do
        for _, name in ipairs(rawget(each, "events") or {}) do known[name] = true end
    end
    return known
end

local function events_table(machine)
    return setmetatable({}, {
        __metatable = false,
        __index = function(_, name)
            if name == "timeout" then
                return function(seconds)
                    if type(seconds) ~= "number" or not (seconds > 0) then
                        fail("timeout: a number of seconds expected")
                    end
                    machines.have_timeouts = true
                    return setmetatable({ name = "timeout", seconds = seconds }, Event)
                end
            end
            local of = machine.state_type
            if not machine.known[name] and (of == State or of == Bidirectional) then
                local known = {}
                for each in pairs(machine.known) do known[#known + 1] = each end
                fail(format("state machine '%s': unknown event '%s'%s", machine.name, tostring(name),
                    P.suggest(name, known)))
            end
            return setmetatable({ name = name }, Event)
        end,
    })
end

-- A state of a machine as the description has it.
local Handle = { __metatable = false, __index = {} }

local function is_handle(value)
    return type(value) == "table" and P.native.metatable(value) == Handle
end

local KEYS = { event = true, when = "function", execute = "function", jump = true }

function Handle.__index:on(spec)
    local what = format("state machine '%s': state '%s'", self.machine.name, self.name or "?")
    if type(spec) ~= "table" then fail(what .. ": on: a table expected, got " .. type(spec)) end
    for key, value in pairs(spec) do
        local wanted = KEYS[key]
        if not wanted then fail(format("%s: on: unknown key '%s'", what, tostring(key))) end
        if wanted == "function" and type(value) ~= wanted then
            fail(format("%s: on: %s must be a function, got %s", what, key, type(value)))
        end
    end
    local event = spec.event
    if type(event) ~= "table" or P.native.metatable(event) ~= Event then
        fail(format("%s: on: event must be one of events, got %s", what, type(event)))
    end
    if spec.jump ~= nil and (not is_handle(spec.jump) or spec.jump == self.machine.any) then
        fail(format("%s: on: jump must be a state, got %s", what, type(spec.jump)))
    end
    if not spec.execute and not spec.jump then
        fail(what .. ": on: neither execute nor jump is there")
    end
    local list = self.on_event[event.name]
    if not list then
        list = {}
        self.on_event[event.name] = list
    end
    list[#list + 1] = {
        when = spec.when, execute = spec.execute, jump = spec.jump or false, seconds = event.seconds,
    }
end

local function handle(machine, name, state)
    return setmetatable({ machine = machine, name = name, state = state, on_event = {} }, Handle)
end

local Instance, methods = { __metatable = false }, {}

-- The class that the dissectors' default uses, and whose names a description may use as they are.
local kinds = { State = State, BidirectionalState = Bidirectional }

local function environment(machine)
    local plain, own = {}, {
        any = machine.any, fail = machine.fail, finish = machine.finish, events = events_table(machine),
        State = State, BidirectionalState = Bidirectional,
    }
    function own.state_type(of)
        if not class.isclass(of) or not class.isa(of, State) then
            fail("state_type: a class of haka.state_machine.State expected")
        end
        machine.state_type, machine.known = of, events_of(of)
    end
    function own.state(...) return handle(machine, false, machine.state_type:new(...)) end
    function own.initial(state)
        if not is_handle(state) then fail("initial: a state expected, got " .. type(state)) end
        machine.initial = state
    end
    return setmetatable({}, {
        __metatable = false,
        __index = function(_, key)
            for _, from in ipairs { plain, machine.states, own } do
                if from[key] ~= nil then return from[key] end
            end
            return P.globals[key]
        end,
        __newindex = function(_, key, value)
            if is_handle(value) and value.state and not value.name then
                value.name = key
                machine.states[key] = value
            else
                plain[key] = value
            end
        end,
    })
end

local Machine = { __metatable = false, __index = {} }
function Machine:__tostring() return "state machine: " .. self.name end

local function new(name, describe)
    if type(describe) ~= "function" then
        fail("haka.state_machine.new: a function expected, got " .. type(describe))
    end
    if not P.live.loading then
        fail("haka.state_machine.new: state machines are made while the script loads, not in an event")
    end
    local machine = {
        name = tostring(name or "<unnamed>"), states = {}, state_type = State, known = events_of(State),
        initial = false,
    }
    for _, special in ipairs { "any", "fail", "finish" } do
        machine[special] = handle(machine, special, false)
    end
    setfenv(describe, environment(machine))
    describe()
    if not machine.initial then fail(format("state machine '%s' has no initial state", machine.name)) end
    return setmetatable(machine, Machine)
end

-- An instance for `owner`, which transitions get as their first argument.
function Machine.__index:instanciate(owner)
    local instance = setmetatable({
        machine = self, owner = owner, at = self.initial, finished = false, jumps = 0, due = false,
        bucket = false,
    }, Instance)
    local at = instance.at
    instance:trigger("init")
    -- What was told of `init` may have gone elsewhere.
    if not instance.finished and instance.at == at then instance:enter(at) end
    return instance
end
Machine.__index.instantiate = Machine.__index.instanciate

function Instance:__index(key)
    if key == "current" then return self.at.name end
    return methods[key]
end

function Instance:__tostring() return format("%s: state '%s'", self.machine.name, self.at.name or "?") end

-- The first of the list that agrees.
local function choose(list, instance, ...)
    if not list then return nil end
    for i = 1, #list do
        local transition = list[i]
        if not transition.when or transition.when(instance.owner, ...) then return transition end
    end
end

local function take(instance, transition, ...)
    if transition.execute then transition.execute(instance.owner, ...) end
    if transition.jump and not instance.finished then instance:jump(transition.jump) end
    return true
end
machines.take, machines.choose = take, choose

-- Tells of an event; whether there was a transition for it.
function methods:trigger(name, ...)
    if self.finished then fail(format("%s has finished", tostring(self))) end
    local transition = choose(self.at.on_event[name], self, ...)
        or choose(self.machine.any.on_event[name], self, ...)
    if not transition then return false end
    return take(self, transition, ...)
end

function methods:enter(state)
    self.at = state
    machines.set_timer(self)
    self:trigger("enter")
end

-- Goes to another state: one of the description, or its name.
function methods:jump(state)
    local machine = self.machine
    if type(state) == "string" then
        state = (state == "fail" or state == "finish") and machine[state] or machine.states[state]
    end
    if not is_handle(state) or state.machine ~= machine then
        fail(format("%s: jump: a state of this machine expected", tostring(self)))
    end
    self.jumps = self.jumps + 1
    if self.jumps > JUMPS_MAX then fail(format("%s: jumps without end", tostring(self))) end
    local at = self.at
    self:trigger("leave")
    -- A transition of `leave` may have gone elsewhere.
    if self.at == at and not self.finished then
        if state.state then
            self:enter(state)
        else
            self.at = state
            if state == machine.fail then self:trigger("fail") end
            self:finish()
        end
    end
    self.jumps = self.jumps - 1
end

-- Gives data to the state: of a BidirectionalState, an iterator and the direction.
function methods:update(...)
    if self.finished then fail(format("%s has finished", tostring(self))) end
    if self.due and machines.is_due(self) then
        machines.time_out(self)
        if self.finished then return end
    end
    return self.at.state:update(self, ...)
end

-- Ends it: no transition is taken any more.
function methods:finish()
    if self.finished then return end
    self:trigger("finish")
    self.finished, self.due = true, false
end

-- The same without a word: what it was about is over.
function methods:forget()
    self.finished, self.due = true, false
end

P.haka_state_machine = P.strict("haka.state_machine", {
    new = new, State = kinds.State, BidirectionalState = kinds.BidirectionalState,
})
