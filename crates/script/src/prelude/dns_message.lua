-- DNS messages (RFC 1035, RFC 3596): from bytes to plain tables, and what was changed in those back to
-- bytes. Numbers and addresses are changed in place; a name, a text or a record more or less has the
-- message written anew.
local P = ...
local type, tostring, ipairs, pairs = type, tostring, ipairs, pairs
local byte, char, sub, format = string.byte, string.char, string.sub, string.format
local find, gsub = string.find, string.gsub
local floor, concat, setmetatable = math.floor, table.concat, setmetatable

-- RFC 1035 section 3.1, and as many pointers as such a name has labels; and more records than this no
-- server sends over UDP.
local NAME_MAX, POINTERS_MAX, RECORDS_MAX = 255, 127, 1024

local TYPES = {
    "A", "NS", "MD", "MF", "CNAME", "SOA", "MB", "MG", "MR", "NULL", "WKS", "PTR", "HINFO", "MINFO",
    "MX", "TXT", [28] = "AAAA", [33] = "SRV", [41] = "OPT", [255] = "ANY",
}
local CLASSES = { "IN", "CS", "CH", "HS", [255] = "ANY" }
local TYPE_NUMBERS, CLASS_NUMBERS = {}, {}
for number, name in pairs(TYPES) do TYPE_NUMBERS[name] = number end
for number, name in pairs(CLASSES) do CLASS_NUMBERS[name] = number end

-- What the data of a record holds, by type: the field's name and its form.
local DATA = {
    A = { "ip", "v4" }, AAAA = { "ip", "v6" }, NS = { "nsdname", "name" }, CNAME = { "cname", "name" },
    PTR = { "ptrdname", "name" }, TXT = { "text", "texts" },
    -- Nobody uses these, but their names may be compressed, and would point elsewhere in a message written anew.
    MD = { "madname", "name" }, MF = { "madname", "name" }, MB = { "madname", "name" },
    MG = { "mgmname", "name" }, MR = { "newname", "name" },
    MINFO = { "rmailbx", "name", "emailbx", "name" },
    MX = { "preference", 2, "exchange", "name" },
    SRV = { "priority", 2, "weight", 2, "port", 2, "target", "name" },
    SOA = {
        "mname", "name", "rname", "name", "serial", 4, "refresh", 4, "retry", 4, "expire", 4,
        "minimum", 4,
    },
}
local ANY_DATA = { "data", "rest" }

local SECTIONS = { "question", "answer", "authority", "additional" }
local COUNTS = { question = "qdcount", answer = "ancount", authority = "nscount", additional = "arcount" }

-- What Haka's grammar would give: shown as such, plain tables otherwise.
local RESULT, ARRAY = { class = P.grammar.Result }, { class = P.grammar.ArrayResult }

-- The cursor: text, at (from 0), and the end of what may be read.
local function number(cursor, count)
    local at, value = cursor.at, 0
    if at + count > cursor.stop then return nil end
    for i = at + 1, at + count do value = value * 256 + byte(cursor.text, i) end
    cursor.at = at + count
    return value
end

-- A name as text with dots; its length on the wire, without the last byte; and the place behind it. Nil if it
-- is none. A dot inside a label is written `\.`, or "evil.example" could be said in one label, and be another
-- name to whoever gets it. Every pointer leads further back than the name it stands in, so the walk ends; and what
-- pointers lead to is read once in a message, however many lead there.
local function walk(text, start, known, depth)
    local labels, length, at = {}, 0, start
    while true do
        local size = byte(text, at + 1)
        if not size or size >= 64 and size < 192 then return nil end
        if size == 0 then
            at = at + 1
            break
        elseif size >= 192 then
            local low = byte(text, at + 2)
            local target = low and size % 64 * 256 + low
            if not target or target >= start or depth == POINTERS_MAX then return nil end
            local suffix = known[target]
            if suffix == nil then
                local whole, len = walk(text, target, known, depth + 1)
                suffix = whole and { whole, len } or false
                known[target] = suffix
            end
            if not suffix then return nil end
            if suffix[1] ~= "" then labels[#labels + 1] = suffix[1] end
            length, at = length + suffix[2], at + 2
            break
        end
        length = length + size + 1
        if length >= NAME_MAX or at + 1 + size > #text then return nil end
        local label = sub(text, at + 2, at + 1 + size)
        if find(label, "[.\\]") then label = gsub(label, "[.\\]", "\\%0") end
        labels[#labels + 1] = label
        at = at + 1 + size
    end
    if length >= NAME_MAX then return nil end
    return concat(labels, "."), length, at
end

local function name(cursor)
    local text, _, after = walk(cursor.text, cursor.at, cursor.names, 0)
    if not text or after > cursor.stop then return nil end
    cursor.at = after
    return text
end

local read = { name = name }

function read.v4(cursor)
    local value = number(cursor, 4)
    return value and P.addr(value)
end

function read.v6(cursor)
    local a, b, c, d = number(cursor, 4), number(cursor, 4), number(cursor, 4), number(cursor, 4)
    return d and P.addr(a, b, c, d)
end

function read.rest(cursor)
    local value = sub(cursor.text, cursor.at + 1, cursor.stop)
    cursor.at = cursor.stop
    return value
end

function read.texts(cursor)
    local parts = {}
    while cursor.at < cursor.stop do
        local size = number(cursor, 1)
        if cursor.at + size > cursor.stop then return nil end
        parts[#parts + 1] = sub(cursor.text, cursor.at + 1, cursor.at + size)
        cursor.at = cursor.at + size
    end
    return concat(parts)
end

-- Reads fields into `record`, and notes where those lie that can be changed in place.
local function fields(cursor, record, spec, places)
    for i = 1, #spec, 2 do
        local key, form, at = spec[i], spec[i + 1], cursor.at
        local value
        if type(form) == "number" then value = number(cursor, form) else value = read[form](cursor) end
        if value == nil then return false end
        record[key] = value
        -- Texts are shown as one, but may be several.
        local raw = form == "texts" and sub(cursor.text, at + 1, cursor.at)
        places[key] = { at = at, form = form, value = value, raw = raw }
    end
    return true
end

local HEAD = { "name", "name", "type", 2, "class", 2 }
local REST = { "ttl", 4, "length", 2 }

local function record(cursor, is_question)
    local made, places = setmetatable({}, RESULT), {}
    if not fields(cursor, made, HEAD, places) then return nil end
    made.type = TYPES[made.type] or made.type
    made.class = CLASSES[made.class] or made.class
    places.type.value, places.class.value = made.type, made.class
    if is_question then return made, places end
    if not fields(cursor, made, REST, places) then return nil end
    local stop = cursor.at + made.length
    if stop > cursor.stop then return nil end
    local whole = cursor.stop
    cursor.stop = stop
    -- An update may name records without any data (RFC 2136 section 2.5).
    local spec = made.length > 0 and DATA[made.type] or ANY_DATA
    local good = fields(cursor, made, spec, places)
    cursor.stop = whole
    if not good or cursor.at ~= stop then return nil end
    return made, places
end

local FLAGS = { qr = 32768, aa = 1024, tc = 512, rd = 256, ra = 128 }
local PARTS = { opcode = { 2048, 16 }, z = { 16, 8 }, rcode = { 1, 16 } }

local function flags_of(message)
    local word = 0
    for key, unit in pairs(FLAGS) do
        if message[key] then word = word + unit end
    end
    for key, part in pairs(PARTS) do word = word + part[1] * (message[key] % part[2]) end
    return word
end

-- The message in `text`, and what is to be known for changing it; or nil and what is wrong.
function P.read_dns(text)
    local cursor = { text = text, at = 0, stop = #text, names = {} }
    local message, original = setmetatable({}, RESULT), { sections = {} }
    message.id = number(cursor, 2)
    local word = number(cursor, 2)
    if not word then return nil, "header" end
    for key, unit in pairs(FLAGS) do message[key] = floor(word / unit) % 2 == 1 end
    for key, part in pairs(PARTS) do message[key] = floor(word / part[1]) % part[2] end
    local all = 0
    for _, section in ipairs(SECTIONS) do
        local count = number(cursor, 2)
        if not count then return nil, "header" end
        message[COUNTS[section]], all = count, all + count
    end
    if all > RECORDS_MAX then return nil, "header" end
    for _, section in ipairs(SECTIONS) do
        local list, places = setmetatable({}, ARRAY), {}
        for i = 1, message[COUNTS[section]] do
            list[i], places[i] = record(cursor, section == "question")
            if not list[i] then return nil, section end
            places[i].record = list[i]
        end
        message[section], original.sections[section] = list, places
    end
    original.id, original.word = message.id, word
    return message, original
end

local put = {}
function put.v4(out, value) out:number(P.ipv4.addr(value).packed, 4) end
function put.v6(out, value)
    local parts = P.ipv6.addr(value)
    for i = 1, 4 do out:number(parts[i], 4) end
end
function put.rest(out, value) out:text(value) end
function put.texts(out, value)
    value = tostring(value)
    if value == "" then return out:number(0, 1) end
    for at = 1, #value, 255 do
        local part = sub(value, at, at + 254)
        out:number(#part, 1)
        out:text(part)
    end
end

-- The first label as bytes, and the rest of a name; a dot behind `\` separates nothing.
local function split_name(value)
    if not find(value, "\\", 1, true) then return value:match("^([^.]*)%.?(.*)$") end
    local parts, at = {}, 1
    while at <= #value do
        local letter = sub(value, at, at)
        if letter == "." then return concat(parts), sub(value, at + 1) end
        if letter == "\\" then
            at = at + 1
            letter = sub(value, at, at)
        end
        parts[#parts + 1] = letter
        at = at + 1
    end
    return concat(parts), ""
end

-- Names that were written before are pointed at (RFC 1035 section 4.1.4).
function put.name(out, value)
    value = tostring(value)
    local length = 0
    local whole = value
    while value ~= "" do
        local label, rest = split_name(value)
        length = length + #label + 1
        if #label < 1 or #label > 63 or length >= NAME_MAX then P.fail(format("dns: '%s' is no name", whole)) end
        value = rest
    end
    value = whole
    while value ~= "" do
        local known = out.names[value]
        if known then return out:number(0xc000 + known, 2) end
        if out.len < 0x4000 then out.names[value] = out.len end
        local label, rest = split_name(value)
        out:number(#label, 1)
        out:text(label)
        value = rest
    end
    out:number(0, 1)
end

local Out = {}
Out.__index = Out

function Out:text(text)
    self.parts[#self.parts + 1] = text
    self.len = self.len + #text
end

function Out:number(value, count)
    if type(value) ~= "number" or value < 0 or value % 1 ~= 0 or value >= 256 ^ count then
        P.fail(format("dns: a number below %d expected, got %s", 256 ^ count, tostring(value)))
    end
    local bytes = ""
    for _ = 1, count do
        bytes = char(value % 256) .. bytes
        value = floor(value / 256)
    end
    self:text(bytes)
end

local function new_out() return setmetatable({ parts = {}, len = 0, names = {} }, Out) end

local function type_number(value) return TYPE_NUMBERS[value] or value end
local function class_number(value) return CLASS_NUMBERS[value] or value end

local function write_fields(out, from, spec, places)
    for i = 1, #spec, 2 do
        local key, form = spec[i], spec[i + 1]
        local value, was = from[key], places[key]
        if value == nil then P.fail(format("dns: a record has no '%s'", key)) end
        if type(form) == "number" then
            out:number(value, form)
        elseif was and was.raw and was.value == value then
            out:text(was.raw)
        else
            put[form](out, value)
        end
    end
end

-- `places` are those of the record that this one was, or nothing.
local function write_record(out, from, is_question, places)
    put.name(out, from.name)
    out:number(type_number(from.type), 2)
    out:number(class_number(from.class or "IN"), 2)
    if is_question then return end
    out:number(from.ttl or 0, 4)
    local at = #out.parts + 1
    out:number(0, 2)
    local before = out.len
    local spec = DATA[from.type]
    if not spec or from.data and from[spec[1]] == nil then spec = ANY_DATA end
    write_fields(out, from, spec, places)
    local len = out.len - before
    out.parts[at] = char(floor(len / 256) % 256, len % 256)
end

local function write(message, original)
    local out, places = new_out(), {}
    for _, list in pairs(original.sections) do
        for _, each in ipairs(list) do places[each.record] = each end
    end
    out:number(message.id, 2)
    out:number(flags_of(message), 2)
    for _, section in ipairs(SECTIONS) do out:number(#message[section], 2) end
    for _, section in ipairs(SECTIONS) do
        for _, each in ipairs(message[section]) do write_record(out, each, section == "question", places[each] or {}) end
    end
    return concat(out.parts)
end

local IN_PLACE = { [2] = true, [4] = true, v4 = true, v6 = true }

-- The changes that fit where the old value stood, as offset and bytes; nil if something does not.
local function in_place(message, original)
    local changes = {}
    local function change(at, value, form)
        local out = new_out()
        if type(form) == "number" then out:number(value, form) else put[form](out, value) end
        changes[#changes + 1] = { at, concat(out.parts) }
    end
    if message.id ~= original.id then change(0, message.id, 2) end
    local word = flags_of(message)
    if word ~= original.word then change(2, word, 2) end
    for _, section in ipairs(SECTIONS) do
        local list, places = message[section], original.sections[section]
        if #list ~= #places then return nil end
        for i, place in ipairs(places) do
            local each = list[i]
            if each ~= place.record then return nil end
            for key, was in pairs(place) do
                if key ~= "record" and key ~= "length" and each[key] ~= was.value then
                    if not IN_PLACE[was.form] or (key == "type" and section ~= "question") then
                        return nil
                    end
                    local value = each[key]
                    if key == "type" then value = type_number(value) end
                    if key == "class" then value = class_number(value) end
                    change(was.at, value, was.form)
                end
            end
        end
    end
    return changes
end

-- Puts what rules have changed in a message into the payload that it was read from.
function P.write_dns(message, original, payload)
    local changes = in_place(message, original)
    if not changes then return payload:replace(P.vbuffer_from(write(message, original))) end
    for _, change in ipairs(changes) do
        payload:sub(change[1], #change[2]):setfixedstring(change[2])
    end
end
