-- protocol/raw: frames, whatever they carry.
local P, set = ...
local fail, core = P.fail, P.core

P.layer_class {
    name = "raw", numbers = {}, set = {},
    begins = function(self) return P.layer_at(self) end,
    get = {
        next_dissector = function(_, frame)
            return frame.version ~= 0 and "ipv" .. frame.version or nil
        end,
    },
}

P.raw_options = { drop_unknown_dissector = false }

return P.strict("raw", {
    events = P.events("raw", {
        receive_packet = core.receive_raw, send_packet = core.send_raw,
    }),
    -- `size` bytes of payload, all zero.
    create = function(size, init)
        if type(size) == "table" then size, init = 0, size end
        size = P.check_number("raw.create", "size", size or 0, 65535)
        return P.init_fields(P.raw_of(P.forge(("\0"):rep(14 + size))), init)
    end,
    options = P.options("raw", P.raw_options),
}, set())
