-- Timeouts of state machines, by network time: they are looked at before each event, and at each tick of the
-- engine, so one may be late by as long as nothing happens, and a second at most where the engine ticks.
--
-- Instances wait in buckets of a tenth of a second. An instance stands in one bucket that counts: one whose
-- time has moved to later is dealt again when its bucket is due, so that a connection that changes its state a
-- thousand times a second costs no more than another.
local P = ...
local native, live, machines = P.native, P.live, P.machines
local pairs, ipairs, type, tostring = pairs, ipairs, type, tostring
local format, ceil = string.format, math.ceil
local huge = math.huge

-- The limit of instructions counts all that fire in one event: so many, the others in the next.
local FIRED_AT_ONCE = 256

local buckets, earliest = {}, huge

local function now()
    local secs, nsecs = native.stamp()
    return secs + nsecs / 1e9
end

local function deal(instance)
    local bucket = ceil(instance.due * 10)
    if instance.bucket and instance.bucket <= bucket then return end
    instance.bucket = bucket
    local list = buckets[bucket]
    if not list then
        list = {}
        buckets[bucket] = list
    end
    list[#list + 1] = instance
    if bucket < earliest then earliest, live.timers, live.odd = bucket, true, true end
end

-- Called when an instance enters a state: its earliest timeout counts from now.
function machines.set_timer(instance)
    local soonest = huge
    for _, from in ipairs { instance.at, instance.machine.any } do
        for _, transition in ipairs(from.on_event.timeout or {}) do
            if transition.seconds < soonest then soonest = transition.seconds end
        end
    end
    instance.due = false
    if soonest < huge then
        instance.entered = now()
        instance.due = instance.entered + soonest
        deal(instance)
    end
end

function machines.is_due(instance) return now() >= instance.due end

-- Of several timeouts, the one that is due; whether there was a transition.
function machines.time_out(instance)
    local at, passed, soonest = instance.at, now() - instance.entered, huge
    local reached = instance.reached or 0
    for _, from in ipairs { at, instance.machine.any } do
        for _, transition in ipairs(from.on_event.timeout or {}) do
            local seconds = transition.seconds
            if seconds <= passed and seconds > reached then
                if not transition.when or transition.when(instance.owner) then
                    instance.reached = nil
                    machines.take(instance, transition)
                    if instance.finished or instance.at ~= at then return end
                end
            elseif seconds > passed and seconds < soonest then
                soonest = seconds
            end
        end
    end
    -- Still there: later timeouts of this state may come.
    instance.reached, instance.due = passed, false
    if soonest < huge then
        instance.due = instance.entered + soonest
        deal(instance)
    end
end

-- A failing transition must not cost the connection whose event it is that lets time pass.
local function fire(instance)
    local ok, problem = P.globals.pcall(machines.time_out, instance)
    if ok then return end
    P.log("error", "state_machine", format("%s: timeout: %s", tostring(instance), tostring(problem)))
    instance:forget()
    local owner = instance.owner
    local flow = type(owner) == "table" and owner.flow
    if flow then P.doom(flow) end
end

local function run(bucket, list, left)
    for i = #list, 1, -1 do
        if left == 0 then return 0 end
        left = left - 1
        local instance = list[i]
        list[i] = nil
        if instance.bucket == bucket then
            instance.bucket = false
            if instance.due then
                if instance.due <= now() then fire(instance) else deal(instance) end
            end
        end
    end
    buckets[bucket] = nil
    return left
end

-- Lets time pass; called at the beginning of each event, and by the engine's tick.
function P.run_timers()
    if earliest == huge then return end
    local is = now() * 10
    if earliest > is then return end
    local flow, left = live.flow, FIRED_AT_ONCE
    live.flow, live.timing = nil, true
    while left > 0 and earliest <= is do
        local list = buckets[earliest]
        if list then left = run(earliest, list, left) end
        if left > 0 then
            earliest = huge
            for bucket in pairs(buckets) do
                if bucket < earliest then earliest = bucket end
            end
        end
    end
    live.flow, live.timing, live.timers = flow, false, earliest < huge
end
