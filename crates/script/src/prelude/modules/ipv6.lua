-- protocol/ipv6: as ipv4, for the other version (RFC 8200). Fields that mean the same have the same name.
local P, set = ...
local number, put_number, at, core = P.number, P.put_number, P.layer_at, P.core
local fail, format, floor = P.fail, string.format, math.floor

local function word(self) return number(self[1].store, at(self), 4) or 0 end

local function address(off)
    return function(self, frame)
        local store, place = frame.store, at(self) + off
        return P.addr(number(store, place, 4), number(store, place + 4, 4),
            number(store, place + 8, 4), number(store, place + 12, 4))
    end
end

local function set_address(off)
    return function(self, _, value)
        local parts = P.ipv6.addr(value)
        for i = 1, 4 do put_number(self, off + 4 * (i - 1), 4, parts[i]) end
    end
end

-- Whether what the header names is what follows it: no extensions in between.
local function is_plain(self, frame) return frame.transport == at(self) + 40 end

local function set_proto(self, frame, value)
    P.check_number("ipv6", "proto", value, 255)
    if not is_plain(self, frame) then
        fail("ipv6: 'proto' cannot be written behind extension headers")
    end
    put_number(self, 6, 1, value)
end

-- `field` of the first word: what is below it, and its greatest value.
local function part(name, unit, max)
    return function(self) return floor(word(self) / unit) % (max + 1) end,
        function(self, _, value)
            P.check_number("ipv6", name, value, max)
            local whole = word(self)
            put_number(self, 0, 4, whole + (value - floor(whole / unit) % (max + 1)) * unit)
        end
end

local version, set_version = part("version", 2 ^ 28, 15)
local tos, set_tos = part("tos", 2 ^ 20, 255)
local flow_label, set_flow_label = part("flow_label", 1, 0xfffff)

P.layer_class {
    name = "ipv6",
    numbers = { ttl = { 7, 1 } },
    begins = function(self) return self[1].transport end,
    get = {
        version = version, tos = tos, flow_label = flow_label,
        hdr_len = function() return 40 end,
        -- The whole datagram, as in ipv4.
        len = function(self, frame) return 40 + number(frame.store, at(self) + 4, 2) end,
        proto = function(self, frame)
            return is_plain(self, frame) and number(frame.store, at(self) + 6, 1) or frame.protocol
        end,
        src = address(8), dst = address(24),
        raw = function(_, frame) return P.raw_of(frame) end,
        next_dissector = function(_, frame) return P.transport_names[frame.protocol] end,
    },
    set = {
        version = set_version, tos = set_tos, flow_label = set_flow_label, proto = set_proto,
        len = function(self, _, value)
            if P.check_number("ipv6", "len", value, 65575) < 40 then
                fail("ipv6: 'len' must be 40 or more")
            end
            put_number(self, 4, 2, value - 40)
        end,
        src = set_address(8), dst = set_address(24),
    },
}

-- There is no checksum in the header, so none is wrong.
P.layers.ipv6.own.verify_checksum = function() return true end
P.layers.ipv6.own.compute_checksum = function() end

P.ipv6.events = P.events("ipv6", {
    receive_packet = core.receive_ipv6, send_packet = core.send_ipv6,
})

function P.ipv6.create(raw, init)
    if not P.is_layer(raw, "raw") then fail("ipv6.create: a raw packet expected") end
    local frame, place = P.put_header("ipv6", raw, "\96" .. ("\0"):rep(39))
    P.put_number(raw, -2, 2, 0x86dd)
    frame.version, frame.transport = 6, place + 40
    return P.init_fields(P.ip_of(frame), init)
end

return P.strict("ipv6", P.ipv6, set())
