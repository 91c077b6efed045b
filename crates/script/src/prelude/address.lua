-- ipv4.addr, ipv4.network and their IPv6 peers. Addresses are small tables: making one costs less
-- than a userdata, and `contains` never leaves Lua.
local P = ...
local native, fail = P.native, P.fail
local setmetatable, getmetatable, rawget, type = setmetatable, getmetatable, rawget, type
local tonumber, tostring = tonumber, tostring
local format, match = string.format, string.match
local floor = math.floor
local band, lshift, tobit = bit.band, bit.lshift, bit.tobit

local Addr4, Addr6, Network = { __metatable = false }, { __metatable = false }, {}
local raw_metatable = native.metatable

local function addr(a, b, c, d)
    if b then return setmetatable({ a, b, c, d }, Addr6) end
    return setmetatable({ packed = a }, Addr4)
end
P.addr = addr

local function version(value)
    if type(value) ~= "table" then return nil end
    local meta = raw_metatable(value)
    return meta == Addr4 and 4 or meta == Addr6 and 6 or nil
end

-- The words of an address: one, or four; nil of anything else.
function P.address_words(value)
    local kind = version(value)
    if kind == 4 then return value.packed end
    if kind == 6 then return value[1], value[2], value[3], value[4] end
end

function P.is_network(value)
    return type(value) == "table" and raw_metatable(value) == Network
end

local function same(x, y)
    if version(x) ~= version(y) then return false end
    for i = 1, 4 do
        if rawget(x, i) ~= rawget(y, i) then return false end
    end
    return rawget(x, "packed") == rawget(y, "packed")
end

local function order(x, y)
    local vx, vy = version(x), version(y)
    if not vx or not vy then fail("an address can only be compared with an address") end
    if vx ~= vy then return vx - vy end
    if vx == 4 then return x.packed - y.packed end
    for i = 1, 4 do
        if x[i] ~= y[i] then return x[i] - y[i] end
    end
    return 0
end

local function below(x, y) return order(x, y) < 0 end
local function at_most(x, y) return order(x, y) <= 0 end
for _, meta in ipairs { Addr4, Addr6 } do
    meta.__eq, meta.__lt, meta.__le = same, below, at_most
end

function Addr4:__tostring()
    local p = self.packed
    return format("%d.%d.%d.%d", floor(p / 2 ^ 24), floor(p / 2 ^ 16) % 256, floor(p / 2 ^ 8) % 256,
        p % 256)
end

function Addr6:__tostring()
    return native.format_v6(self[1], self[2], self[3], self[4])
end

local octet_text = "ipv4.addr: four numbers from 0 to 255 expected"
local function octet(value)
    if type(value) ~= "number" or value < 0 or value > 255 or value % 1 ~= 0 then
        fail(octet_text)
    end
    return value
end

local function parse(text, wanted, what)
    local a, b, c, d = native.parse_addr(text)
    if not a or (b and 6 or 4) ~= wanted then
        local other = a and format(": that is what ipv%d.%s is for", b and 6 or 4, match(what, "[^.]*$")) or ""
        fail(format("%s: '%s' is no IPv%d address%s", what, text, wanted, other))
    end
    return addr(a, b, c, d)
end

local function make(wanted, what, value, ...)
    if version(value) == wanted then return value end
    if type(value) == "string" then return parse(value, wanted, what) end
    if wanted == 4 and type(value) == "number" then
        local b, c, d = ...
        if b ~= nil then
            return addr(octet(value) * 2 ^ 24 + octet(b) * 2 ^ 16 + octet(c) * 2 ^ 8 + octet(d))
        end
        if value < 0 or value >= 2 ^ 32 or value % 1 ~= 0 then
            fail(what .. ": a number from 0 to 4294967295 expected")
        end
        return addr(value)
    end
    fail(format("%s: an address expected, got %s", what, type(value)))
end

-- The bits of the mask in 32-bit words, as signed numbers, like all of LuaJIT's `bit`.
local function word(bits)
    if bits <= 0 then return 0 end
    if bits >= 32 then return -1 end
    return lshift(-1, 32 - bits)
end

local function network(wanted, what, spec, bits)
    local width = wanted == 4 and 32 or 128
    local is_text = type(spec) == "string" and bits == nil
    if is_text then
        local text, mask = match(spec, "^([^/]+)/(%d+)$")
        if not text then fail(format("%s: 'address/bits' expected, got '%s'", what, spec)) end
        spec, bits = parse(text, wanted, what), tonumber(mask)
    else
        spec = make(wanted, what, spec)
    end
    if type(bits) ~= "number" or bits < 0 or bits > width or bits % 1 ~= 0 then
        fail(format("%s: a mask of 0 to %d bits expected", what, width))
    end
    local self = { mask = bits, width = width }
    -- Of an address that was given as one, `net` keeps the host's bits, as in Haka; they do not count.
    local given = not is_text and spec
    if wanted == 4 then
        self.mask1 = word(bits)
        self.net1 = band(tobit(spec.packed), self.mask1)
        self.net = given or addr(self.net1 % 2 ^ 32)
        return setmetatable(self, Network)
    end
    local parts = {}
    for i = 1, 4 do
        self["mask" .. i] = word(bits - 32 * (i - 1))
        self["net" .. i] = band(tobit(spec[i]), self["mask" .. i])
        parts[i] = self["net" .. i] % 2 ^ 32
    end
    self.net = given or addr(parts[1], parts[2], parts[3], parts[4])
    return setmetatable(self, Network)
end

Network.__index = {}
Network.__metatable = false

-- An address of the other version is in no network.
function Network.__index:contains(what)
    if type(what) == "string" then
        local a, b, c, d = native.parse_addr(what)
        if not a then fail(format("contains: '%s' is no address", what)) end
        what = addr(a, b, c, d)
    end
    local kind = version(what)
    if kind == 4 then
        return self.width == 32 and band(what.packed, self.mask1) == self.net1
    elseif kind == 6 then
        return self.width == 128 and band(what[1], self.mask1) == self.net1
            and band(what[2], self.mask2) == self.net2 and band(what[3], self.mask3) == self.net3
            and band(what[4], self.mask4) == self.net4
    end
    fail(format("contains: an address expected, got %s", type(what)))
end

function Network:__tostring()
    return format("%s/%d", tostring(self.net), self.mask)
end

P.ipv4 = {
    addr = function(...) return make(4, "ipv4.addr", ...) end,
    network = function(...) return network(4, "ipv4.network", ...) end,
}
P.ipv6 = {
    addr = function(...) return make(6, "ipv6.addr", ...) end,
    network = function(...) return network(6, "ipv6.network", ...) end,
}
