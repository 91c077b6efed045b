-- Packets: frames, and the layers in them as rules see them.
--
-- A frame's bytes lie in one store (store.lua), which all its layers share: a layer knows the place of
-- its first byte, and a payload is a part of the store. So a field is read where it lies, what one layer
-- writes the others see, and nothing is copied before something is written. The store notes what
-- was changed where; when the event is over, `P.settle` makes right what follows from that.
--
-- A frame: store, gen (of its event; false for one that a script made), why (it may not be written),
-- network, transport (places), version, protocol, stop (place behind the datagram, which grows),
-- size (of the datagram at first), state ("normal", "forged", "sent", "dropped").
-- A layer: [1] the frame, [2] its place, [3] the epoch of that, [4] its payload, [5] its flags.
local P = ...
local native, fail, live = P.native, P.fail, P.live
local setmetatable, type, tostring, rawset = setmetatable, type, tostring, rawset
local pairs, format, floor, sub = pairs, string.format, math.floor, string.sub
local number, moved = P.number, P.moved

local NETWORK_SUM, TRANSPORT_SUM, LENGTHS = 2, 4, 1

-- By name: the classes of layers.
P.layers = {}
-- By protocol number: the transports that there are, and those whose checksum is ours to keep right,
-- since the script has asked for the module.
P.transport_names = { [1] = "icmp", [6] = "tcp", [17] = "udp", [58] = "icmp" }
P.transports = {}

-- The `options` of a module.
function P.options(module, options)
    return setmetatable({}, {
        __metatable = false,
        __index = function(_, key)
            local value = options[key]
            if value == nil then fail(format("%s.options: unknown option '%s'", module, tostring(key))) end
            return value
        end,
        __newindex = function(_, key, value)
            if options[key] == nil or type(value) ~= "boolean" then
                P.fault(format("%s.options: '%s' is no option that is true or false", module, tostring(key)))
                return
            end
            options[key] = value
        end,
    })
end

local function check(frame)
    if frame.gen and frame.gen ~= live.generation then
        fail("this packet belongs to an earlier event and is gone")
    end
    return frame
end

-- The index (from 0) of a layer's first byte.
local function at(self)
    local store = self[1].store
    if self[3] ~= store.epoch then
        self[2], self[3] = moved(store, self[2], self[3], false), store.epoch
    end
    return self[2]
end
P.layer_at = at

-- The index behind the datagram.
local function stop_of(frame)
    local store = frame.store
    if frame.stop_epoch ~= store.epoch then
        frame.stop, frame.stop_epoch = moved(store, frame.stop, frame.stop_epoch, true), store.epoch
    end
    return frame.stop
end
P.frame_stop = stop_of

-- The frame's bytes for the Rust side: nil while they are those of the event.
local function text_of(frame)
    local store = frame.store
    if not store.text then return nil end
    return P.whole(store)
end

local function must_be_writable(frame, what)
    check(frame)
    if frame.why then fail(frame.why == P.read_only and P.read_only or what .. frame.why) end
end

-- Writes a number of `count` bytes; a checksum that a rule has set stays as it is until something else of
-- its layer is written.
local function put_number(self, off, count, value)
    local store = self[1].store
    local kept, index = store.kept, at(self) + off
    for i = count - 1, 0, -1 do
        P.set_byte(store, index + i, value % 256)
        value = floor(value / 256)
    end
    if kept then
        kept[self] = nil
        store.kept = kept
    end
end
P.put_number = put_number

local function whole_number(what, key, value, max)
    if type(value) ~= "number" or value < 0 or value > max or value % 1 ~= 0 then
        fail(format("%s: '%s' must be a whole number from 0 to %d", what, key, max))
    end
    return value
end
P.check_number = whole_number

function P.keep_sum(self)
    local store = self[1].store
    local kept = store.kept or {}
    kept[self] = true
    store.kept = kept
end

-- A view of single bits: `masks` by name, in the number of `count` bytes at `off` of the layer;
-- `unit` is the weight of the lowest bit of `all`.
function P.flags_class(name, off, count, unit, all, masks)
    local Flags = { __metatable = false, name = name .. " flags", fields = { "all" } }
    for field in pairs(masks) do Flags.fields[#Flags.fields + 1] = field end
    local function read(layer)
        return floor((number(check(layer[1]).store, at(layer) + off, count) or 0) / unit) % (all + 1)
    end
    function Flags:__index(key)
        local bits, mask = read(self[1]), masks[key]
        if mask then return floor(bits / mask) % 2 == 1 end
        if key == "all" then return bits end
        fail(format("%s flags: unknown field '%s'", name, tostring(key)))
    end
    function Flags:__newindex(key, value)
        local layer = self[1]
        must_be_writable(layer[1], format("%s: 'flags.%s' ", name, tostring(key)))
        local bits, mask = read(layer), masks[key]
        local wanted
        if key == "all" then
            wanted = whole_number(name, "flags.all", value, all)
        elseif mask then
            if type(value) ~= "boolean" then
                fail(format("%s: 'flags.%s' must be a boolean", name, key))
            end
            wanted = bits + ((value and 1 or 0) - floor(bits / mask) % 2) * mask
        else
            fail(format("%s flags: unknown field '%s'", name, tostring(key)))
        end
        local before = number(layer[1].store, at(layer) + off, count)
        put_number(layer, off, count, before + (wanted - bits) * unit)
    end
    return function(layer)
        local flags = layer[5]
        if not flags then
            flags = setmetatable({ layer }, Flags)
            layer[5] = flags
        end
        return flags
    end
end

local function payload(self, from)
    local part = self[4]
    if not part then
        local frame = self[1]
        local stop = stop_of(frame)
        if from > stop then from = stop end
        part = P.new_sub(frame.store, from, stop, true)
        self[4] = part
    end
    return part
end

local methods = {}

function methods:drop()
    local frame = check(self[1])
    frame.state = "dropped"
    -- A packet of the script's own was nowhere yet.
    if frame.gen then P.decide(1) end
end

local function leave(self, what, is_send)
    local frame = check(self[1])
    if frame.state ~= "normal" and frame.state ~= "forged" then
        fail(format("%s: this packet has been %s already", what, frame.state))
    end
    if frame.flow then
        fail(format("%s: '%s' cannot be used in events of tcp_connection, which sends it itself",
            self.name, what))
    end
    -- On its way out it goes by itself.
    if is_send and frame.leaving then return end
    local problem = native.inject(P.settle(frame) or P.whole(frame.store), is_send)
    if problem then fail(format("%s: %s", what, problem)) end
    frame.state = "sent"
    if frame.gen then P.decide(1) end
end

function methods:send() leave(self, "send", true) end
function methods:inject() leave(self, "inject", false) end
function methods:state() return check(self[1]).state end
function methods:can_continue()
    local state = check(self[1]).state
    return state == "normal" or state == "forged"
end
methods.continue = methods.can_continue

local function verify(is_transport)
    return function(self)
        local frame = check(self[1])
        local ip, transport = native.intact(text_of(frame), stop_of(frame))
        if is_transport then return transport end
        return ip
    end
end

local function compute(bit, off)
    return function(self)
        local frame = self[1]
        must_be_writable(frame, format("%s: 'checksum' ", self.name))
        local text = native.settle(P.whole(frame.store), stop_of(frame), bit)
        local index = at(self) + off
        put_number(self, off, 2, text:byte(index + 1) * 256 + text:byte(index + 2))
        P.keep_sum(self)
    end
end

-- Makes a class of layers. `numbers`: fields by name, offset and bytes, big-endian. `get` and `set`:
-- functions for the others. `sum`: offset of the checksum. `begins`: the payload's index.
function P.layer_class(spec)
    local name, numbers, get, set = spec.name, spec.numbers, spec.get, spec.set
    local own, Layer = {}, { __metatable = false, name = name }
    for key, method in pairs(methods) do own[key] = method end
    if spec.sum then
        own.verify_checksum = verify(spec.is_transport)
        own.compute_checksum = compute(spec.is_transport and TRANSPORT_SUM or NETWORK_SUM, spec.sum)
    end
    local begins = spec.begins
    function get.name() return name end
    function get.payload(self) return payload(self, begins(self)) end
    function get.timestamp(_, frame) return frame.time end
    function get.id(_, frame) return frame.id end
    function set.payload(self, _, value) get.payload(self):replace(P.vbuffer_from(value)) end
    Layer.fields = {}
    for key in pairs(numbers) do Layer.fields[#Layer.fields + 1] = key end
    for key in pairs(get) do
        -- What is below is shown with the IP packet, and the frame's number with the frame.
        if not (key == "raw" and spec.is_transport) and (key ~= "id" or name == "raw") then Layer.fields[#Layer.fields + 1] = key end
    end

    function Layer:__index(key)
        local frame, field = self[1], numbers[key]
        if field then
            check(frame)
            return number(frame.store, at(self) + field[1], field[2])
        end
        local read = get[key]
        if read then return read(self, check(frame)) end
        local method = own[key]
        if method then return method end
        if key == 4 or key == 5 then return nil end
        check(frame)
        fail(format("%s: unknown field '%s'", name, tostring(key)))
    end
    function Layer:__newindex(key, value)
        local frame = self[1]
        if key == 4 or key == 5 then
            rawset(self, key, value)
            return
        end
        local field, write = numbers[key], set[key]
        if not field and not write then
            check(frame)
            local known = get[key] or own[key]
            fail(format(known and "%s: '%s' cannot be written" or "%s: unknown field '%s'", name,
                tostring(key)))
        end
        must_be_writable(frame, format("%s: '%s' ", name, tostring(key)))
        if field then
            put_number(self, field[1], field[2],
                whole_number(name, key, value, 256 ^ field[2] - 1))
            if key == "checksum" then P.keep_sum(self) end
        else
            write(self, frame, value)
        end
    end
    Layer.own = own
    P.layers[name] = Layer
    return Layer
end

function P.is_layer(value, name)
    return type(value) == "table" and native.metatable(value) == P.layers[name]
end

local function layer(frame, class, place)
    return setmetatable({ frame, place, frame.store.epoch, false, false }, class)
end
P.new_layer = layer

-- The layers of a frame, made when they are first asked for.
function P.raw_of(frame)
    local raw = frame.raw
    if not raw then
        raw = layer(frame, P.layers.raw, frame.network)
        frame.raw = raw
    end
    return raw
end

function P.ip_of(frame)
    local ip = frame.ip
    if not ip then
        ip = layer(frame, frame.version == 6 and P.layers.ipv6 or P.layers.ipv4, frame.network)
        frame.ip = ip
    end
    return ip
end

function P.transport_of(frame, name)
    local transport = frame.transport_layer
    if not transport then
        transport = layer(frame, P.layers[name], frame.transport)
        frame.transport_layer = transport
    end
    return transport
end

local function new_frame(store, network, version, transport, protocol, stop)
    return {
        store = store, network = network, version = version, transport = transport,
        protocol = protocol, stop = stop, stop_epoch = store.epoch, size = stop - network,
        why = P.pass_through and P.read_only or false, state = "normal", gen = false,
    }
end

-- The event's frame, of `len` bytes.
function P.event_frame(len, network, version, transport, protocol, stop, is_fragment)
    local store = P.new_store("")
    store.text, store.off, store.len = nil, 0, len
    store.gen, store.regions, store.shift = live.generation, false, 0
    local frame = new_frame(store, network, version, transport, protocol, stop)
    store.why = frame.why
    frame.gen, frame.is_fragment = live.generation, is_fragment
    local secs, nsecs, id = native.stamp()
    frame.time, frame.id = P.new_time(secs, nsecs), id
    return frame
end

-- The packet of an event of a connection: it is looked at only.
function P.packet(network, version, transport, stop)
    local frame = P.event_frame(stop, network, version, transport, 6, stop, false)
    frame.flow = true
    frame.why = frame.why
        or "cannot be written in events of tcp_connection; tcp.events.receive_packet may"
    frame.store.why = P.read_only
    return P.transport_of(frame, "tcp")
end

-- A frame of the script's own, which begins with an Ethernet header without addresses.
function P.forge(text)
    local store = P.new_store(text)
    store.regions, store.shift = false, 0
    local frame = new_frame(store, 14, 0, #text, 59, #text)
    frame.state, frame.why = "forged", false
    local secs, nsecs = native.stamp()
    frame.time, frame.id = P.new_time(secs, nsecs), 0
    return frame
end

-- Puts a header into a frame of the script's own, in front of what `parent` carries; gives its place.
function P.put_header(what, parent, header)
    local frame = parent[1]
    if frame.state ~= "forged" then
        fail(format("%s.create: a packet that was created and not yet sent expected", what))
    end
    local place = P.places(parent.payload)
    P.splice(frame.store, place, 0, header)
    parent[4] = false
    return frame, place
end

-- A transport's header in front of what an IP packet of the script's own carries.
function P.create_transport(name, ip, protocol, header, init)
    if not (P.is_layer(ip, "ipv4") or P.is_layer(ip, "ipv6")) then
        fail(name .. ".create: an IP packet expected")
    end
    local frame, place = P.put_header(name, ip, header)
    ip.proto = protocol
    frame.protocol, frame.transport = protocol, place
    return P.init_fields(P.transport_of(frame, name), init)
end

-- Fields from a table, as assignments would set them.
function P.init_fields(layer, init)
    if init == nil then return layer end
    if type(init) ~= "table" then fail("create: a table of fields expected, got " .. type(init)) end
    for key, value in pairs(init) do
        if key == "flags" and type(value) == "table" then
            for flag, is_set in pairs(value) do layer.flags[flag] = is_set end
        else
            layer[key] = value
        end
    end
    return layer
end

-- Whether anything was changed between two places.
local function touched(regions, from, to)
    for i = 1, #regions do
        local region = regions[i]
        if region.from < to and region.from + region.len > from then return true end
        -- Bytes were taken out here.
        if region.len == 0 and region.from >= from and region.from <= to then return true end
    end
    return false
end

-- What follows from the changes, as the sum of LENGTHS, NETWORK_SUM and TRANSPORT_SUM.
local function consequences(frame, regions, stop)
    local kept = frame.store.kept or {}
    local network, transport = frame.network, frame.transport
    local is_resized = stop - network ~= frame.size
    local what = is_resized and LENGTHS or 0
    if not kept[frame.ip] and (is_resized or touched(regions, network, transport)) then
        what = what + NETWORK_SUM
    end
    if not kept[frame.transport_layer] and P.transports[frame.protocol] then
        -- Addresses count in the sum of what they carry.
        local addresses = frame.version == 4 and 12 or 8
        if is_resized or touched(regions, transport, stop)
            or touched(regions, network + addresses, network + (frame.version == 4 and 20 or 40))
        then
            what = what + TRANSPORT_SUM
        end
    end
    return what, is_resized
end

-- The frame with all that follows from what was changed, or nil if nothing was.
function P.settle(frame)
    local store, stop = frame.store, stop_of(frame)
    local regions = store.regions
    if frame.state == "forged" then
        local kept, what = store.kept or {}, LENGTHS
        if not kept[frame.ip] then what = what + NETWORK_SUM end
        if not kept[frame.transport_layer] then what = what + TRANSPORT_SUM end
        return native.settle(P.whole(store), stop, what)
    end
    if not regions then return nil end
    if frame.version == 0 then return P.whole(store) end
    local what, is_resized = consequences(frame, regions, stop)
    local text = P.whole(store)
    -- What filled the frame up to its smallest length fills nothing now.
    if is_resized then text = sub(text, 1, stop) end
    if what == 0 then return text end
    return native.settle(text, stop, what)
end
