-- Entities that are bytes themselves: numbers, tokens, texts, bytes, padding.
local P = ...
local native, fail, grammar, place = P.native, P.fail, P.grammar, P.place
local new_entity, take_bits = grammar.new_entity, grammar.take_bits
local type, tostring, tonumber, pairs = type, tostring, tonumber, pairs
local format, rep, gsub, find, ceil = string.format, string.rep, string.gsub, string.find, math.ceil

local build = {}
grammar.build = build

local function whole_number(what, value, least)
    if type(value) ~= "number" or value % 1 ~= 0 or value < least then
        fail(format("%s: a whole number of at least %d expected", what, least))
    end
    return value
end

-- A number or a function that gives one: `func(result, ctx)`.
local function amount(what, value)
    if type(value) == "function" then return value end
    whole_number(what, value, 0)
    return function() return value end
end
grammar.amount = amount

function grammar.count_now(entity, ctx)
    local count = entity.counted(ctx:result(), ctx)
    if type(count) ~= "number" or count % 1 ~= 0 or count < 0 then
        return ctx:error("a count cannot be %s", tostring(count))
    end
    return count
end

-- Where a parse creates: puts `text` at the iterator, which then stands before it.
local function write_before(ctx, text)
    local start = ctx.iter:copy()
    ctx.iter:insert(text)
    ctx.iter:move_to(start)
end

-- What to create: what was given, the only value that parses, or a default.
local function given_or(entity, ctx, default)
    local given = ctx._value
    if given == nil then given = entity.constant end
    if given == nil then return default end
    return given
end
grammar.given_or, grammar.write_before = given_or, write_before

local function parse_number(entity, ctx)
    local bits = entity.bits
    if ctx._creating then
        local wanted = ceil((ctx._bit + bits) / 8)
        local there = P.available(ctx.iter)
        if there < wanted then
            -- Bytes that are there already are written over.
            local start = ctx.iter:copy()
            ctx.iter:advance(there)
            ctx.iter:insert(rep("\0", wanted - there))
            ctx.iter:move_to(start)
        end
    end
    local part, off = take_bits(ctx, bits)
    if not part then return false end
    local slot = { entity = entity, part = part, off = off }
    if ctx._creating then
        local value = given_or(entity, ctx)
        if value ~= nil then grammar.write(nil, slot, value) end
    end
    return true, slot
end

local function read_number(entity, slot)
    local bits = entity.bits
    if bits % 8 == 0 and slot.off == 0 then return slot.part:asnumber(entity.endian) end
    return slot.part:asbits(slot.off, bits, entity.endian)
end

local function write_number(entity, slot, value)
    if type(value) ~= "number" then fail("a number expected, got " .. type(value)) end
    local bits = entity.bits
    if bits % 8 == 0 and slot.off == 0 then
        slot.part:setnumber(value, entity.endian)
    else
        slot.part:setbits(slot.off, bits, value, entity.endian)
    end
end

function build.number(bits, endian)
    whole_number("number", bits, 1)
    if bits > 64 then fail("number: at most 64 bits") end
    if endian ~= nil and endian ~= "big" and endian ~= "little" then
        fail("number: 'big' or 'little' expected")
    end
    return new_entity("number", {
        bits = bits, endian = endian, parse_with = parse_number, read = read_number,
        write = write_number,
    })
end

local converter = {
    bool = {
        get = function(value) return value ~= 0 end,
        set = function(value) return value and 1 or 0 end,
    },
    mult = function(by)
        return {
            get = function(value) return value * by end,
            set = function(value)
                if value % by ~= 0 then fail(format("a multiple of %s expected", tostring(by))) end
                return value / by
            end,
        }
    end,
    -- Digits of a base, and how to print them (as `string.format` has it).
    tonumber = function(print, base)
        return {
            get = function(value) return tonumber(tostring(value), base or 10) end,
            set = function(value) return format(print or "%d", value) end,
        }
    end,
}
grammar.converter, build.converter = converter, converter

-- A bit that is true or false.
build.flag = build.number(1):convert(converter.bool)

local function must_be_aligned(ctx)
    if ctx._bit ~= 0 then return ctx:error("this would begin within a byte") end
    return true
end
grammar.must_be_aligned = must_be_aligned

local function read_text(_, slot) return slot.part:asstring() end
local function write_part(_, slot, value)
    if P.kind_of_buffer(value) then
        slot.part:replace(value)
    else
        slot.part:setstring(value)
    end
end
grammar.write_part = write_part

-- The longest match of the scanner at the iterator: its length, or nil. Waits as long as one more byte could
-- change it.
local function match_length(scanner, ctx)
    local iter = ctx.iter
    local state, matched, done = scanner.start, nil, 0
    while true do
        local store, at = iter.store, place(iter)
        local there = P.available(iter)
        if there > done then
            local text, from = P.whole(store), at - store.base
            local best
            state, best = scanner.step(text, from + done, from + there, state)
            if best then matched = best - from end
            done = there
            if not state then return matched end
        end
        if not iter:check_available(there + 1) then break end
    end
    if scanner.ends(state) then matched = done end
    return matched
end

local function parse_token(entity, ctx)
    if not must_be_aligned(ctx) then return false end
    if ctx._creating then
        local text = given_or(entity, ctx, entity.literal)
        if text == nil then return ctx:error("nothing was given for token /%s/", entity.pattern) end
        write_before(ctx, tostring(text))
    end
    local length = match_length(entity.scanner, ctx)
    if not length then return ctx:error("token /%s/ expected", entity.pattern) end
    local part = length > 0 and ctx.iter:sub(length)
        or P.new_sub(ctx.iter.store, place(ctx.iter), place(ctx.iter))
    return true, { entity = entity, part = part }
end

-- What a pattern matches if it is nothing but letters, for creating it.
local function literal_of(pattern)
    local text = gsub(pattern, "\\(.)", function(c)
        return c == "r" and "\r" or c == "n" and "\n" or c == "t" and "\t"
            or find(c, "%w") and "\0" or "\1"
    end)
    if find(text, "[%z^$.|?*+()%[%]{}]") then return nil end
    local plain = gsub(pattern, "\\(.)", { r = "\r", n = "\n", t = "\t" })
    return (gsub(plain, "\\(.)", "%1"))
end

local scanners = {}
local function scanner_of(pattern)
    local scanner = scanners[pattern]
    if not scanner then
        local start, step, ends, finds = native.scanner(pattern)
        if not start then fail(format("token /%s/: %s", pattern, tostring(step))) end
        scanner = { start = start, step = step, ends = ends, finds = finds }
        scanners[pattern] = scanner
    end
    return scanner
end

-- `plain` is the pattern with backslashes only.
local function new_token(pattern, plain)
    return new_entity("token", {
        pattern = pattern, literal = literal_of(plain), scanner = scanner_of(pattern),
        parse_with = parse_token, read = read_text, write = write_part,
    })
end

-- The longest match of a regular expression, in which % stands for \ as in Lua's patterns.
function build.token(pattern)
    if type(pattern) ~= "string" then fail("token: a regular expression expected") end
    return new_token(pattern, (gsub(pattern, "%%(.)", function(c)
        return c == "%" and "%" or "\\" .. c
    end)))
end

-- The same with its backslashes.
function build.raw_token(pattern)
    if type(pattern) ~= "string" then fail("raw_token: a regular expression expected") end
    return new_token(gsub(pattern, "%%", "\\%%"), pattern)
end

local function parse_text(entity, ctx)
    if not must_be_aligned(ctx) then return false end
    local wanted = entity.literal
    if ctx._creating then write_before(ctx, wanted) end
    local ahead = ctx.iter:copy()
    local part = ahead:sub(#wanted)
    if not part or part:asstring() ~= wanted then return ctx:error("'%s' expected", wanted) end
    ctx.iter:advance(#wanted)
    return true, { entity = entity, part = part }
end

-- These very bytes.
function build.text(literal)
    if type(literal) ~= "string" or literal == "" then fail("text: a string expected") end
    return new_entity("text", {
        literal = literal, parse_with = parse_text, read = read_text, write = write_part,
    })
end

local function parse_padding(entity, ctx)
    local bits = entity.size
    if entity.align then
        local passed = (place(ctx.iter) - ctx._from) * 8 + ctx._bit
        bits = (entity.align - passed % entity.align) % entity.align
    end
    if bits == 0 then return true end
    -- As a number of so many bits, which need not fit into one of Lua's.
    local ok, slot = parse_number({ bits = bits }, ctx)
    return ok, ok and { entity = entity, part = slot.part } or nil
end

-- Bits that mean nothing: so many, or up to a multiple of so many since the parse began.
function build.padding(options)
    if type(options) ~= "table" then fail("padding: { align = bits } or { size = bits } expected") end
    for key in pairs(options) do
        if key ~= "align" and key ~= "size" then
            fail(format("padding: unknown option '%s'", tostring(key)))
        end
    end
    local size, align = options.size, options.align
    if (size == nil) == (align == nil) then fail("padding: either align or size expected") end
    whole_number("padding", size or align, 1)
    return new_entity("padding", {
        size = size, align = align, parse_with = parse_padding,
        read = function(_, slot) return slot.part end,
    })
end
