-- protocol/ipv4: datagrams and fragments (RFC 791), addresses and networks.
local P, set = ...
local number, put_number, at, core = P.number, P.put_number, P.layer_at, P.core
local fail, format, floor = P.fail, string.format, math.floor

local function byte_of(self, off) return number(self[1].store, at(self) + off, 1) or 0 end

local function address(off)
    return function(self, frame) return P.addr(number(frame.store, at(self) + off, 4)) end
end

local function set_address(off)
    return function(self, _, value) put_number(self, off, 4, P.ipv4.addr(value).packed) end
end

local flags = P.flags_class("ipv4", 6, 1, 32, 7, { rb = 4, df = 2, mf = 1 })

local function hdr_len(self) return byte_of(self, 0) % 16 * 4 end

P.layer_class {
    name = "ipv4", sum = 10,
    numbers = {
        tos = { 1, 1 }, len = { 2, 2 }, id = { 4, 2 }, ttl = { 8, 1 }, proto = { 9, 1 },
        checksum = { 10, 2 },
    },
    begins = function(self)
        local len = hdr_len(self)
        return at(self) + (len < 20 and 20 or len)
    end,
    get = {
        version = function(self) return floor(byte_of(self, 0) / 16) end,
        hdr_len = hdr_len,
        frag_offset = function(self, frame)
            return number(frame.store, at(self) + 6, 2) % 8192 * 8
        end,
        flags = flags,
        src = address(12), dst = address(16),
        raw = function(_, frame) return P.raw_of(frame) end,
        next_dissector = function(_, frame) return P.transport_names[frame.protocol] end,
    },
    set = {
        version = function(self, _, value)
            P.check_number("ipv4", "version", value, 15)
            put_number(self, 0, 1, value * 16 + byte_of(self, 0) % 16)
        end,
        hdr_len = function(self, _, value)
            if P.check_number("ipv4", "hdr_len", value, 60) % 4 ~= 0 then
                fail("ipv4: 'hdr_len' must be a multiple of 4")
            end
            put_number(self, 0, 1, byte_of(self, 0) - byte_of(self, 0) % 16 + value / 4)
        end,
        frag_offset = function(self, frame, value)
            if P.check_number("ipv4", "frag_offset", value, 65528) % 8 ~= 0 then
                fail("ipv4: 'frag_offset' must be a multiple of 8")
            end
            local word = number(frame.store, at(self) + 6, 2)
            put_number(self, 6, 2, word - word % 8192 + value / 8)
        end,
        src = set_address(12), dst = set_address(16),
    },
}

P.ipv4_options = { enable_reassembly = true }
P.ipv4.options = P.options("ipv4", P.ipv4_options)
P.ipv4.events = P.events("ipv4", {
    receive_packet = core.receive_ipv4, send_packet = core.send_ipv4,
})

-- A header without options in front of what the parent carries.
function P.ipv4.create(raw, init)
    if not P.is_layer(raw, "raw") then fail("ipv4.create: a raw packet expected") end
    local frame, place = P.put_header("ipv4", raw, "\69" .. ("\0"):rep(19))
    P.put_number(raw, -2, 2, 0x0800)
    frame.version, frame.transport = 4, place + 20
    return P.init_fields(P.ip_of(frame), init)
end

-- Which dissector a protocol number means: for messages and `next_dissector` only, since those that there
-- are cannot be changed.
function P.ipv4.register_protocol(protocol, dissector)
    P.check_number("ipv4.register_protocol", "protocol", protocol, 255)
    local name = type(dissector) == "table" and dissector.name or dissector
    if type(name) ~= "string" then fail("ipv4.register_protocol: a dissector expected") end
    if P.transport_names[protocol] then
        fail(format("ipv4.register_protocol: protocol %d is %s already", protocol,
            P.transport_names[protocol]))
    end
    P.transport_names[protocol] = name
end

return P.strict("ipv4", P.ipv4, set())
