-- Buffers and parts of them, as scripts see them. A part of a stream lies in the stream's store: what
-- is written into it is what the receiver gets.
local P = ...
local native, fail, live = P.native, P.fail, P.live
local setmetatable, type, tostring, rawget = setmetatable, type, tostring, rawget
local format, char, rep, reverse = string.format, string.char, string.rep, string.reverse
local sub, byte, floor = string.sub, string.byte, math.floor
local slice, byte_at, splice, moved = P.slice, P.byte_at, P.splice, P.moved

-- A part: `from` and `to` are places of the store. A buffer is its whole store: `from` is false.
-- `snap` is the text of a part that may be read after its bytes have gone on, `snap_at` where it
-- begins in there.
local Sub, Buffer = { __metatable = false }, { __metatable = false }
local methods = {}
P.Sub, P.Buffer = Sub, Buffer

-- The interpreter copies a table of constants as a whole, and makes any other key by key.
function P.new_sub(store, from, to, grows, snap, snap_at)
    local self = {
        store = false, from = 0, to = 0, epoch = 0, grows = false, snap = false, snap_at = 0, lent = false,
    }
    self.store, self.from, self.to, self.epoch, self.lent = store, from, to, store.epoch, store.lent
    if grows then self.grows = grows end
    if snap then self.snap, self.snap_at = snap, snap_at end
    return setmetatable(self, Sub)
end
local new_sub = P.new_sub

function P.new_buffer(text)
    return setmetatable({ store = P.new_store(text), from = false }, Buffer)
end

local kinds = { [Buffer] = "buffer", [Sub] = "sub" }
local function kind(value)
    local meta = type(value) == "table" and native.metatable(value)
    return meta and kinds[meta] or nil
end
P.kind_of_buffer = kind

-- The store, and the indexes in it (from 0) of the first byte and of the one after the last; nil when
-- the bytes have gone on.
local function span(self)
    local store, from = self.store, self.from
    if not from then return store, 0, store.len end
    if self.lent ~= store.lent then return nil end
    local epoch = self.epoch
    if epoch ~= store.epoch then
        -- What is put in just before a part is no part of it, unless it is to grow.
        from = moved(store, from, epoch, not self.grows and from < self.to)
        self.from, self.to = from, moved(store, self.to, epoch, self.grows)
        self.epoch = store.epoch
    end
    local base = store.base
    if from < base then return nil end
    return store, from - base, self.to - base
end
P.span = span

local function text(self)
    local store, from, to = span(self)
    if store then return slice(store, from, to - from) end
    local snap = self.snap
    if not snap then fail(P.gone) end
    return sub(snap, self.snap_at + 1, self.snap_at + self.to - self.from)
end

local function size(self)
    local store, from, to = span(self)
    if not store then
        if not self.snap then fail(P.gone) end
        return self.to - self.from
    end
    return to - from
end

-- For writing: the store, and places in it.
local function places(self)
    local store, from, to = span(self)
    if not store then fail(self.snap and P.read_only or P.gone) end
    return store, from + store.base, to + store.base
end

function P.places(part)
    local _, from, to = places(part)
    return from, to
end

-- Puts `new` in the place of all bytes.
local function put(self, new)
    local store, from, to = places(self)
    splice(store, from, to - from, new)
    if self.from then
        self.from, self.to, self.epoch, self.snap = from, from + #new, store.epoch, false
    end
end

-- The bytes of a buffer that is given away: it is empty afterwards. A part, or a string, is copied.
function P.take_text(what, value)
    if type(value) == "string" then return value end
    local which = kind(value)
    if not which then fail(format("%s: a buffer expected, got %s", what, type(value))) end
    local taken = text(value)
    if which == "buffer" then value.store = P.new_store("") end
    return taken
end

local function whole_number(value, what)
    if type(value) ~= "number" or value < 0 or value % 1 ~= 0 then
        fail(what .. ": offset or length out of range")
    end
    return value
end

function methods:asstring() return text(self) end

-- `off` counts from 0; `len` may be "all".
function methods:sub(off, len)
    local there = size(self)
    off = whole_number(off or 0, "sub")
    if off > there then fail("sub: offset or length out of range") end
    if len == nil or len == "all" then len = there - off end
    if whole_number(len, "sub") > there - off then len = there - off end
    local from = self.from or 0
    if not span(self) then
        -- The bytes have gone on, and so the part is read from the same copy.
        return new_sub(self.store, from + off, from + off + len, false, self.snap,
            self.snap_at + off)
    end
    return new_sub(self.store, from + off, from + off + len, false, rawget(self, "snap"),
        (rawget(self, "snap_at") or 0) + off)
end

function methods:pos(off)
    local store, from, to = places(self)
    if off == "end" then return P.new_iterator(store, to) end
    if off == nil or off == "begin" then return P.new_iterator(store, from) end
    if whole_number(off, "pos") > to - from then fail("pos: offset or length out of range") end
    return P.new_iterator(store, from + off)
end

function methods:zero() put(self, rep("\0", size(self))) end
function methods:erase() put(self, "") end
function methods:replace(buffer) put(self, P.take_text("replace", buffer)) end
function methods:setstring(value) put(self, tostring(value)) end

-- As much of the text as fits; the length stays.
function methods:setfixedstring(value)
    value = sub(tostring(value), 1, size(self))
    put(self, value .. sub(text(self), #value + 1))
end

-- Stores keep their bytes in one piece.
function methods:isflat() size(self) return true end
function methods:flatten() size(self) return self end

function methods:check_size(wanted)
    local there = size(self)
    return there >= whole_number(wanted, "check_size"), there
end

-- Takes the bytes out; what they leave is held until `restore` puts something there.
function methods:select()
    local store, from = places(self)
    local taken = P.new_buffer(text(self))
    put(self, "")
    local place = P.new_iterator(store, from)
    P.hold_at(place, "select")
    return place, taken
end

function methods:clone() return P.new_buffer(text(self)) end

local function backwards(what, endian)
    if endian == nil or endian == "big" then return false end
    if endian ~= "little" then fail(what .. ": 'big' or 'little' expected") end
    return true
end

-- 1 to 8 bytes as a number without sign; a Lua number is exact up to 53 bits.
function methods:asnumber(endian)
    local store, from, to = span(self)
    local little = backwards("asnumber", endian)
    local count = store and to - from or size(self)
    if count < 1 or count > 8 then fail("asnumber: 1 to 8 bytes expected, got " .. count) end
    local value = 0
    if store then
        if little then
            for i = to - 1, from, -1 do value = value * 256 + byte_at(store, i) end
        else
            for i = from, to - 1 do value = value * 256 + byte_at(store, i) end
        end
        return value
    end
    local bytes = text(self)
    if little then bytes = reverse(bytes) end
    for i = 1, count do value = value * 256 + byte(bytes, i) end
    return value
end

function methods:setnumber(value, endian)
    local count = size(self)
    local little = backwards("setnumber", endian)
    if count < 1 or count > 8 then fail("setnumber: 1 to 8 bytes expected, got " .. count) end
    if type(value) ~= "number" or value % 1 ~= 0 then fail("setnumber: a whole number expected") end
    local bytes = ""
    for _ = 1, count do
        bytes = char(value % 256) .. bytes
        value = floor(value / 256)
    end
    put(self, little and reverse(bytes) or bytes)
end

-- The place of bit `i` (from 0): its byte (from 1) and its weight there. Big-endian bits count from
-- the highest of the first byte, little-endian ones from the lowest.
local function bit_at(i, little)
    local at = i % 8
    return (i - at) / 8 + 1, 2 ^ (little and at or 7 - at)
end

local function check_bits(what, self, off, count)
    whole_number(off, what)
    if whole_number(count, what) > 53 or off + count > size(self) * 8 then
        fail(what .. ": offset or length out of range")
    end
end

function methods:asbits(off, count, endian)
    local little = backwards("asbits", endian)
    check_bits("asbits", self, off, count)
    local bytes, value = text(self), 0
    for i = 0, count - 1 do
        local at, weight = bit_at(off + i, little)
        local bit = floor(byte(bytes, at) / weight) % 2
        value = little and value + bit * 2 ^ i or value * 2 + bit
    end
    return value
end

function methods:setbits(off, count, value, endian)
    local little = backwards("setbits", endian)
    check_bits("setbits", self, off, count)
    if type(value) ~= "number" or value % 1 ~= 0 then fail("setbits: a whole number expected") end
    local bytes = { byte(text(self), 1, -1) }
    for i = 0, count - 1 do
        local at, weight = bit_at(off + i, little)
        local wanted = floor(value / 2 ^ (little and i or count - 1 - i)) % 2
        local is = floor(bytes[at] / weight) % 2
        bytes[at] = bytes[at] + (wanted - is) * weight
    end
    local parts = {}
    for i = 1, #bytes do parts[i] = char(bytes[i]) end
    put(self, table.concat(parts))
end

local function index(self, key)
    if type(key) == "number" then
        local store, from, to = span(self)
        if key < 1 or key > size(self) then return nil end
        if store then return byte_at(store, from + key - 1) end
        return byte(text(self), key)
    end
    local method = methods[key]
    if method then return method end
    if key == "modified" then return self.store.modified or false end
    if key == "snap" or key == "snap_at" or key == "lent" then return nil end
    fail(format("vbuffer: unknown field '%s'", tostring(key)))
end

local function new_index(self, key, value)
    if type(key) ~= "number" then fail("vbuffer: only bytes can be set, by their number") end
    local store, from, to = places(self)
    if key < 1 or key > to - from or key % 1 ~= 0 then
        fail("vbuffer: there is no byte " .. tostring(key))
    end
    P.set_byte(store, from + key - 1, value)
end

for _, meta in ipairs { Sub, Buffer } do
    meta.__len, meta.__tostring = size, text
    meta.__index, meta.__newindex = index, new_index
end

-- The bytes of an event that rules only look at: one part for each event, which is nothing but itself, so
-- that an event makes as little garbage as can be. What other parts have in fields, it tells.
local Lent = { __metatable = false, __tostring = text, __newindex = new_index }
kinds[Lent] = "sub"
local lent, lent_now = P.lent_store(), nil

-- The part with the event's bytes: `len` at position `offset` of the stream.
function P.lend_event(offset, len, ended)
    local store, gen = lent, live.generation
    store.base, store.len, store.gen, store.lent, store.ended = offset, len, gen, gen, ended
    if store.text then store.text = nil end
    local part = setmetatable({}, Lent)
    lent_now = part
    return part
end

-- Says why they may not be written to.
function P.lend_because(why) lent.why = why end

function Lent:__len()
    if self == lent_now then return lent.len end
    return size(self)
end

function Lent:__index(key)
    if type(key) == "number" then
        if self ~= lent_now then return index(self, key) end
        if key < 1 or key > lent.len then return nil end
        return byte_at(lent, key - 1)
    end
    local method = methods[key]
    if method then return method end
    if key == "store" then return lent end
    if key == "from" then return lent.base end
    if key == "to" then return lent.base + lent.len end
    if key == "epoch" then return lent.epoch end
    if key == "lent" then return self == lent_now and lent.lent end
    if key == "grows" then return true end
    if key == "snap" then return false end
    return index(self, key)
end

-- The data of a UDP packet: its payload, and for scripts that take it for the packet, that too.
local Data = { __metatable = false, __len = size, __tostring = text }
kinds[Data] = "sub"

function Data:__index(key)
    if type(key) == "number" or methods[key] or key == "modified" then
        return index(self, key)
    end
    local packet = self.packet
    local value = packet[key]
    if type(value) ~= "function" then return value end
    return function(_, ...) return value(packet, ...) end
end

function Data:__newindex(key, value)
    if type(key) == "number" then return new_index(self, key, value) end
    self.packet[key] = value
end

function P.udp_data(packet)
    local part = packet.payload
    return setmetatable({
        store = part.store, from = part.from, to = part.to, epoch = part.epoch, grows = true,
        snap = false, snap_at = 0, lent = false, packet = packet,
    }, Data)
end

-- The other's bytes come behind ours; the other is empty afterwards. A payload is whole as a buffer is.
function methods:append(buffer)
    if kind(self) ~= "buffer" and not self.grows then fail("append: only a whole buffer can grow") end
    if buffer == self then fail("append: a buffer cannot be appended to itself") end
    local new = P.take_text("append", buffer)
    local store, _, to = places(self)
    splice(store, to, 0, new)
end

function P.vbuffer_from(value)
    if kind(value) then return P.new_buffer(text(value)) end
    if type(value) ~= "string" then
        fail("haka.vbuffer_from: a string expected, got " .. type(value))
    end
    return P.new_buffer(value)
end

function P.vbuffer_allocate(len)
    whole_number(len, "haka.vbuffer_allocate")
    if len > 65536 then native.spend(floor(len / 64)) end
    return P.new_buffer(rep("\0", len))
end
