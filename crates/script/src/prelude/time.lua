-- Times: of a packet, and of the network.
local P = ...
local native, fail = P.native, P.fail
local setmetatable, type, tostring, format = setmetatable, type, tostring, string.format
local floor = math.floor

local Time = { __metatable = false }
local DAYS = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" }
local MONTHS = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
}

function P.new_time(secs, nsecs)
    return setmetatable({ secs = secs, nsecs = nsecs }, Time)
end

local function is_time(value)
    return type(value) == "table" and native.metatable(value) == Time
end

P.is_time = is_time

local function both(a, b)
    if not (is_time(a) and is_time(b)) then fail("a time can only be compared with a time") end
    return a, b
end

function Time:__index(key)
    if key == "seconds" then return self.secs + self.nsecs / 1e9 end
    fail(format("time: unknown field '%s'", tostring(key)))
end

function Time.__eq(a, b) return a.secs == b.secs and a.nsecs == b.nsecs end
function Time.__lt(a, b)
    both(a, b)
    if a.secs ~= b.secs then return a.secs < b.secs end
    return a.nsecs < b.nsecs
end
function Time.__le(a, b) return not (b < a) end

-- The seconds between two times.
function Time.__sub(a, b)
    both(a, b)
    return a.secs - b.secs + (a.nsecs - b.nsecs) / 1e9
end

-- As alerts have it. Years begin in March here, so that a leap day is the last of its year.
function Time:__tostring()
    local days = floor(self.secs / 86400)
    local rest = self.secs % 86400
    local shifted = days + 719468
    local era = floor(shifted / 146097)
    local of_era = shifted - era * 146097
    local year = floor((of_era - floor(of_era / 1460) + floor(of_era / 36524)
        - floor(of_era / 146096)) / 365)
    local of_year = of_era - (365 * year + floor(year / 4) - floor(year / 100))
    local month = floor((5 * of_year + 2) / 153)
    local day = of_year - floor((153 * month + 2) / 5) + 1
    year = year + era * 400
    if month < 10 then month = month + 3 else month, year = month - 9, year + 1 end
    return format("%s %s %2d %02d:%02d:%02d %d", DAYS[days % 7 + 1], MONTHS[month], day,
        floor(rest / 3600), floor(rest / 60) % 60, rest % 60, year)
end

function P.now()
    local secs, nsecs = native.stamp()
    return P.new_time(secs, nsecs)
end
