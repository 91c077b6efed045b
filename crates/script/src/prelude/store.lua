-- Where bytes live: the store behind every buffer, sub-buffer and iterator.
--
-- Places are counted in bytes from the beginning of the stream (or buffer), and in what the bytes
-- are *now*: after five bytes were put in at 3, what stood at 4 stands at 9. A store does not know who
-- looks at it; it keeps a log of what moved, and whoever holds a place replays the log when it is used
-- next (`P.settle`). So an edit costs nothing for those who are never asked again.
--
--   text         the bytes, or nil while they still lie in the event's buffer of the Rust side
--   off, gen     where they lie there, and of which event
--   base, len    place of the first byte, and how many there are
--   patch        single bytes written since `text` was made, by index
--   epoch, log   how many edits have moved bytes, and what they did: place, taken out, put in
--   kept         the layers of a packet whose checksum a rule has set, or false
--   why          a text that says why nothing may be written, or false
--   lent         of a store that is another event's each time: the event's number; false of all others
-- and of a stream's:
--   left         bytes before this place have gone on and cannot be changed
--   shift        how far the place of the first byte is from where its sender put it
--   regions      what was changed since, in order and none touching the next
local P = ...
local native, fail, live = P.native, P.fail, P.live
local sub, byte, format = string.sub, string.byte, string.format
local insert, remove = table.insert, table.remove

-- Places older than half as many edits are given up: a log must end somewhere.
local LOG_MAX = 4096
-- Copies of so many bytes count against the limit of instructions, which does not see them.
local COPY_CHARGED = 4096

P.gone = "these bytes have gone on; keep a copy with :asstring()"
P.read_only = "read only buffer"

function P.new_store(text)
    local store = {
        text = "", base = 0, len = 0, epoch = 0, oldest = 0, why = false, left = 0, lent = false,
    }
    store.text, store.len = text, #text
    return store
end

-- The place `at`, noted at `epoch`, as it is now. Bytes put in exactly there come behind it, unless
-- it `grows`; a place within bytes that were taken out falls to where they began.
local function moved(store, at, epoch, grows)
    if epoch < store.oldest then fail("invalid buffer iterator: too many changes since") end
    local log = store.log
    for i = (epoch - store.oldest) * 3 + 1, #log, 3 do
        local place, out, new = log[i], log[i + 1], log[i + 2]
        if at > place then
            if at >= place + out then at = at + new - out else at = place end
        elseif grows and at == place and out == 0 then
            at = at + new
        end
    end
    return at
end
P.moved = moved

local function record(store, at, out, new)
    local log = store.log
    if not log then
        log = {}
        store.log, store.oldest = log, store.epoch
    elseif #log >= LOG_MAX * 3 then
        -- The older half goes: places that were noted just now must not be lost with it.
        local half, young = LOG_MAX / 2 * 3, {}
        for i = half + 1, #log do young[i - half] = log[i] end
        log = young
        store.log, store.oldest = log, store.oldest + LOG_MAX / 2
    end
    local n = #log
    log[n + 1], log[n + 2], log[n + 3] = at, out, new
    store.epoch = store.epoch + 1
end

-- The whole text, with what was written into it.
local function whole(store)
    local text = store.text
    if not text then
        if store.len == 0 then
            text = ""
        elseif store.gen == live.generation then
            text = native.slice(store.off, store.len)
        else
            fail(P.gone)
        end
        store.text = text
    elseif store.patch then
        if #text >= COPY_CHARGED then native.copied(#text * 2) end
        text = native.patch(text, store.patch)
        store.text, store.patch = text, nil
    end
    return text
end
P.whole = whole

-- `len` bytes from index `from` on (from 0), as a string.
function P.slice(store, from, len)
    if store.text then
        local text = store.patch and whole(store) or store.text
        if from == 0 and len == store.len then return text end
        return sub(text, from + 1, from + len)
    end
    if store.gen ~= live.generation and len > 0 then fail(P.gone) end
    if from == 0 and len == store.len then return whole(store) end
    return native.slice(store.off + from, len)
end

function P.byte_at(store, index)
    local text = store.text
    if text then
        local patch = store.patch
        return patch and patch[index + 1] or byte(text, index + 1)
    end
    if store.gen ~= live.generation then fail(P.gone) end
    return native.byte(store.off + index)
end

-- `count` bytes (at most 4) from `index` on as a number, the first the highest; nil behind the end.
function P.number(store, index, count)
    if not store.text and store.gen == live.generation then
        return native.number(store.off + index, count)
    end
    local value = 0
    for i = index, index + count - 1 do
        local byte = P.byte_at(store, i)
        if not byte then return nil end
        value = value * 256 + byte
    end
    return value
end

-- Where the sender has what stands at a place behind `region` (nil: before all of them).
local function shift_behind(store, region)
    if not region then return store.shift end
    return region.from + region.len - region.start - region.erased
end

-- The first region that ends at `at` or later.
local function region_from(regions, at)
    local low, high = 1, #regions + 1
    while low < high do
        local middle = (low + high - (low + high) % 2) / 2
        local region = regions[middle]
        if region.from + region.len >= at then high = middle else low = middle + 1 end
    end
    return low
end

-- Notes that `out` bytes at `at` gave way to `new`: joins the regions that this touches.
local function note(store, at, out, new)
    local regions = store.regions
    if not regions then
        regions = {}
        store.regions = regions
    end
    local low = region_from(regions, at)
    local from, to = at, at + out
    local start = at - shift_behind(store, regions[low - 1])
    local last = low - 1
    while regions[last + 1] and regions[last + 1].from <= to do last = last + 1 end
    local stop
    if last >= low then
        local head, tail = regions[low], regions[last]
        if head.from < from then from, start = head.from, head.start end
        local tail_to = tail.from + tail.len
        stop = to > tail_to and to - shift_behind(store, tail) or tail.start + tail.erased
        if tail_to > to then to = tail_to end
        for i = last, low + 1, -1 do remove(regions, i) end
    else
        stop = to - shift_behind(store, regions[low - 1])
    end
    local region = {
        start = start, erased = stop - start, from = from, len = to - from + new - out,
    }
    if last >= low then regions[low] = region else insert(regions, low, region) end
    if new ~= out then
        for i = low + 1, #regions do regions[i].from = regions[i].from + new - out end
    end
end

local function must_be_writable(store, at)
    local why = store.why
    if why then fail(why) end
    if at < store.left then fail(P.read_only) end
end

-- Puts `text` in the place of `out` bytes at `at`.
function P.splice(store, at, out, text)
    must_be_writable(store, at)
    local new, index = #text, at - store.base
    local before = whole(store)
    store.modified, store.kept = true, false
    if #before >= COPY_CHARGED then native.copied(#before * 2) end
    store.text = sub(before, 1, index) .. text .. sub(before, index + out + 1)
    store.len = store.len + new - out
    if store.regions ~= nil then note(store, at, out, new) end
    if new ~= out then record(store, at, out, new) end
end

function P.set_byte(store, at, value)
    if type(value) ~= "number" or value < 0 or value > 255 or value % 1 ~= 0 then
        fail("vbuffer: a byte is a number from 0 to 255")
    end
    must_be_writable(store, at)
    if not store.text then whole(store) end
    local patch = store.patch
    if not patch then
        patch = {}
        store.patch = patch
    end
    patch[at - store.base + 1] = value
    store.modified, store.kept = true, false
    if store.regions ~= nil then note(store, at, 1, 1) end
end

-- The store of one direction of a connection; bytes come with `P.feed` and go with `P.release`.
function P.stream_store()
    local store = P.new_store("")
    store.text, store.shift, store.next, store.regions = nil, 0, 0, false
    store.off, store.gen, store.ended, store.fresh, store.fresh_sent = 0, 0, false, 0, 0
    return store
end

-- A store for the bytes of one event after the other, of whatever connection, where nobody can change or
-- keep any of them.
function P.lent_store()
    local store = P.stream_store()
    store.lent = 0
    return store
end

-- Takes in the event's bytes: `len` at position `offset` of the sender's stream, the first `seen` of
-- which were shown before. What was kept back last time but is not shown again has gone on; false if
-- changes were lost with it.
function P.feed(store, offset, len, seen, why)
    local fresh, complete = offset + seen, true
    store.why, store.gen = why, live.generation
    if store.len == 0 or fresh ~= store.next then
        -- Nothing kept, or bytes have passed unseen in between.
        complete = not store.regions
        store.base = fresh + store.shift
        store.left, store.text, store.off = store.base, nil, seen
        -- To give nil to a field that is not there makes one.
        if store.patch then store.patch = nil end
        store.len, store.regions = len - seen, false
    else
        local gone, place = offset + store.shift, store.base + store.len
        local first = store.regions and store.regions[1]
        if first and first.from < gone then
            -- From here on places are counted as if those changes had never been made.
            complete, gone = false, place
            store.regions, store.shift = false, place - fresh
        end
        if gone > store.left then store.left = gone end
        store.text = whole(store) .. native.slice(seen, len - seen)
        store.len = store.len + len - seen
    end
    store.next = offset + len
    return complete
end

-- Ends an event. Changes before the place `hold` are told; the bytes from there on stay with the
-- engine, those from `keep` on (at or before it) stay here. Gives where the sender has the first byte
-- that is held. `edit` takes the changes: the engine's, or that of whoever the store is a part of.
function P.release(store, keep, hold, edit)
    local regions, shift = store.regions, store.shift
    local stop = store.base + store.len
    if regions then
        local at, region = 1, regions[1]
        while region do
            local to = region.from + region.len
            -- An insertion leaves with the byte behind it.
            if to > hold or (region.erased == 0 and to == hold and hold < stop) then break end
            edit(region.start, region.erased,
                P.slice(store, region.from - store.base, region.len))
            shift = shift_behind(store, region)
            at = at + 1
            region = regions[at]
        end
        -- A change is made as a whole or not at all.
        if region and region.from < hold then hold = region.from end
        for _ = 1, at - 1 do remove(regions, 1) end
        if #regions == 0 then store.regions = false end
    end
    if keep > hold then keep = hold end
    store.shift, store.left = shift, hold
    local index = keep - store.base
    if index >= store.len then
        store.text, store.len, store.base = nil, 0, keep
        if store.patch then store.patch = nil end
    elseif index > 0 or not store.text then
        store.text = sub(whole(store), index + 1)
        store.base, store.len = keep, store.len - index
    end
    return hold - shift
end
