-- Bytes as a rule sees them: `current` of receive_data, the payload of a packet, and what a
-- streamed rule reads. The first two lie in the event's buffer and are gone with it; the last owns
-- its bytes.
local P = ...
local native, fail, live = P.native, P.fail, P.live
local setmetatable, type, rawget, rawset, tostring = setmetatable, type, rawget, rawset, tostring
local byte, sub, format = string.byte, string.sub, string.format

local Data = { __metatable = false }
local methods = {}

-- `off` and `len` in the buffer of the running event.
function P.view(off, len)
    return setmetatable({ generation = live.generation, off = off, len = len }, Data)
end

function P.owned(text)
    return setmetatable({ text = text, len = #text }, Data)
end

local function check(self)
    local generation = rawget(self, "generation")
    if generation and generation ~= live.generation then
        fail("these bytes belong to an earlier event and are gone; keep a copy with :asstring()")
    end
end

local function text(self)
    check(self)
    local value = rawget(self, "text")
    if not value then
        value = native.slice(self.off, self.len)
        self.text = value
    end
    return value
end

function methods:asstring() return text(self) end

-- `off` counts from 0, as in Haka; `len` may be "all".
function methods:sub(off, len)
    check(self)
    off = off or 0
    if len == nil or len == "all" then len = self.len - off end
    if type(off) ~= "number" or type(len) ~= "number" or off < 0 or len < 0 or off > self.len then
        fail("sub: offset or length out of range")
    end
    if off + len > self.len then len = self.len - off end
    local owned = rawget(self, "text")
    if owned then return P.owned(sub(owned, off + 1, off + len)) end
    return P.view(self.off + off, len)
end

-- 1 to 6 bytes as a number without sign (a Lua number is exact up to 53 bits); "big" or "little".
function methods:asnumber(endian)
    local value, from, to, step = 0, 1, self.len, 1
    if endian == "little" then
        from, to, step = self.len, 1, -1
    elseif endian ~= nil and endian ~= "big" then
        fail("asnumber: 'big' or 'little' expected")
    end
    if self.len < 1 or self.len > 6 then
        fail("asnumber: 1 to 6 bytes expected, got " .. self.len)
    end
    for i = from, to, step do value = value * 256 + self[i] end
    return value
end

function Data:__len() check(self) return self.len end
function Data:__tostring() return text(self) end

function Data:__index(key)
    if type(key) == "number" then
        check(self)
        if key < 1 or key > self.len then return nil end
        local owned = rawget(self, "text")
        if owned then return byte(owned, key) end
        return native.byte(self.off + key - 1)
    end
    if key == "generation" or key == "off" or key == "text" then return nil end
    local method = methods[key]
    if not method then
        fail(format("vbuffer: '%s' is unknown or not supported yet", tostring(key)))
    end
    return method
end

function Data.__newindex(self, key, value)
    if key == "text" then return rawset(self, key, value) end
    fail("vbuffer: the bytes of a stream are read-only so far")
end
