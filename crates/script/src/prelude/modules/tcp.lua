-- protocol/tcp: TCP packets (RFC 9293), whatever connection they belong to.
local P, set = ...
local number, put_number, at, core = P.number, P.put_number, P.layer_at, P.core
local fail, floor = P.fail, math.floor

local function byte_12(self) return number(self[1].store, at(self) + 12, 1) or 0 end
local function hdr_len(self) return floor(byte_12(self) / 16) * 4 end

P.layer_class {
    name = "tcp", is_transport = true, sum = 16,
    numbers = {
        srcport = { 0, 2 }, dstport = { 2, 2 }, seq = { 4, 4 }, ack_seq = { 8, 4 },
        window_size = { 14, 2 }, checksum = { 16, 2 }, urgent_pointer = { 18, 2 },
    },
    begins = function(self)
        local len = hdr_len(self)
        return at(self) + (len < 20 and 20 or len)
    end,
    get = {
        hdr_len = hdr_len,
        res = function(self) return byte_12(self) % 16 end,
        flags = P.flags_class("tcp", 13, 1, 1, 255, {
            fin = 1, syn = 2, rst = 4, psh = 8, ack = 16, urg = 32, ecn = 64, cwr = 128,
        }),
        ip = function(_, frame) return P.ip_of(frame) end,
        raw = function(_, frame) return P.raw_of(frame) end,
    },
    set = {
        hdr_len = function(self, _, value)
            if P.check_number("tcp", "hdr_len", value, 60) % 4 ~= 0 then
                fail("tcp: 'hdr_len' must be a multiple of 4")
            end
            put_number(self, 12, 1, byte_12(self) % 16 + value * 4)
        end,
        res = function(self, _, value)
            P.check_number("tcp", "res", value, 15)
            put_number(self, 12, 1, byte_12(self) - byte_12(self) % 16 + value)
        end,
    },
}

return P.strict("tcp", {
    events = P.events("tcp", {
        receive_packet = core.receive_tcp, send_packet = core.send_tcp,
        -- The manual hooks `tcp.events.receive_data`.
        new_connection = core.new_connection,
        receive_data = core.receive_data,
        end_connection = core.end_connection,
    }),
    -- A header without options.
    create = function(ip, init)
        return P.create_transport("tcp", ip, 6, ("\0"):rep(12) .. "\80" .. ("\0"):rep(7), init)
    end,
}, set())
