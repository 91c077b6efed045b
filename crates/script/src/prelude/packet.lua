-- The TCP packet of new_connection and receive_packet. Fields are read from the event's buffer when
-- asked for; a packet kept beyond its event says so.
local P = ...
local native, fail, live = P.native, P.fail, P.live
local setmetatable, rawget, rawset, tostring = setmetatable, rawget, rawset, tostring
local type, format = type, string.format

local LATER = {}
for _, name in ipairs {
    "send", "inject", "compute_checksum", "raw", "timestamp",
} do
    LATER[name] = true
end

local function check(self)
    if rawget(self, 1) ~= live.generation then
        fail("this packet belongs to an earlier event and is gone")
    end
end

local function drop(self)
    check(self)
    P.decide(1)
end

local function verify_ip(self)
    check(self)
    return (native.checksums())
end

local function verify_tcp(self)
    check(self)
    local _, good = native.checksums()
    return good
end

-- A view whose fields are the getters' answers; `extra` makes fields that are objects, which are
-- kept, since `pkt.ip.src` and `pkt.flags` come in pairs.
local function class(name, getters, extra, verify)
    local meta = { __metatable = false }
    function meta:__index(key)
        check(self)
        local get = getters[key]
        if get then
            local value = get()
            if value ~= nil then return value end
        end
        if key == "drop" then return drop end
        if verify and key == "verify_checksum" then return verify end
        local make = extra[key]
        if make then
            local value = make(self)
            if value ~= nil then
                rawset(self, key, value)
                return value
            end
        end
        local what = type(name) == "function" and name() or name
        if LATER[key] then fail(format("%s: '%s' is not supported yet", what, key)) end
        fail(format("%s: unknown field '%s'", what, tostring(key)))
    end
    function meta:__newindex(key)
        local what = type(name) == "function" and name() or name
        fail(format("%s: packet fields are read-only so far ('%s')", what, tostring(key)))
    end
    return function() return setmetatable({ live.generation }, meta) end
end

local ip_flags = class("ipv4 flags", native.ip_flags, {})
local ip = class(function() return native.ip.version() == 6 and "ipv6" or "ipv4" end, native.ip, {
    src = function() return P.addr(native.addr(3)) end,
    dst = function() return P.addr(native.addr(4)) end,
    flags = function() return native.ip.version() == 4 and ip_flags() or nil end,
}, verify_ip)
local flags = class("tcp flags", native.tcp_flags, {})
P.packet = class("tcp", native.tcp, {
    ip = ip,
    flags = flags,
    payload = function()
        local off, len = native.payload()
        local store = P.new_store("")
        store.text, store.off, store.len = nil, off, len
        store.gen, store.why = live.generation, P.read_only
        return P.new_sub(store, 0, len)
    end,
}, verify_tcp)
