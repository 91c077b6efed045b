-- `bytes()`: a stretch of any bytes, by its length, up to a token, or up to the end; as a whole, or in the
-- portions in which they arrive.
local P = ...
local fail, grammar, place = P.fail, P.grammar, P.place
local build, methods, with, new_entity = grammar.build, grammar.methods, grammar.with, grammar.new_entity
local type, min, huge = type, math.min, math.huge

local function read_part(_, slot) return slot.part end

-- Calls `give(part)` for what lies before the token, as it comes; whether the token was there. It is not
-- passed. What might be its beginning waits for what comes next.
local function until_token(scanner, ctx, give)
    local iter, ended = ctx.iter, false
    while true do
        ended = ended or P.has_ended(iter)
        local store, there = iter.store, P.available(iter)
        local from = place(iter) - store.base
        local start, stop = scanner.finds(P.whole(store), from, from + there, ended)
        if start > from then
            if not give(start - from) then return false end
            there = there - (start - from)
        end
        if stop then return true end
        if not iter:check_available(there + 1) then
            if ended then return false end
            ended = true
        end
    end
end

-- Portions go to the function at once, so a body of any length may pass.
local function parse_chunked(entity, ctx)
    local iter, chunked = ctx.iter, entity.by_chunks
    local function give(part, last) chunked(ctx:result(), part, last, ctx) end
    if entity.token then
        local found = until_token(entity.token.scanner, ctx, function(count)
            give(iter:sub(count), false)
            return not ctx._error
        end)
        if ctx._error then return false end
        if not found then return ctx:error("token /%s/ expected", entity.token.pattern) end
        give(nil, true)
        return not ctx._error
    end
    local left = huge
    if entity.counted then
        left = grammar.count_now(entity, ctx)
        if not left then return false end
    end
    local given_last = false
    while left > 0 and iter:wait() do
        local part = iter:sub(min(left, P.available(iter)))
        left = left - #part
        given_last = left == 0
        give(part, given_last)
        if ctx._error then return false end
    end
    if left > 0 and left ~= huge then return ctx:error("%d bytes more expected", left) end
    if not given_last then give(nil, true) end
    return not ctx._error
end

local function take_until(entity, ctx)
    local start, length = ctx.iter:copy(), 0
    local found = until_token(entity.token.scanner, ctx, function(count)
        ctx.iter:advance(count)
        length = length + count
        return true
    end)
    if not found then return ctx:error("token /%s/ expected", entity.token.pattern) end
    return start, length
end

local function parse_until(entity, ctx)
    -- The bytes must be there as a whole in the end.
    local start = grammar.remember(ctx)
    local from, length = take_until(entity, ctx)
    grammar.settle(start)
    if not from then return false end
    if length == 0 then return true, P.new_sub(from.store, place(from), place(from)) end
    return true, from:sub(length)
end

local function parse_bytes(entity, ctx)
    if not grammar.must_be_aligned(ctx) then return false end
    local count
    if ctx._creating then
        local text = grammar.given_or(entity, ctx)
        if P.kind_of_buffer(text) then text = text:asstring() end
        if text ~= nil then
            grammar.write_before(ctx, text)
            count = #text
        end
    end
    if entity.by_chunks and not ctx._creating then return parse_chunked(entity, ctx) end
    local part
    if count then
        part = grammar.take(ctx, count)
    elseif entity.token then
        local ok
        ok, part = parse_until(entity, ctx)
        if not ok then return false end
    elseif entity.counted then
        count = grammar.count_now(entity, ctx)
        if not count then return false end
        part = grammar.take(ctx, count)
    else
        local iter = ctx.iter
        part = iter:sub("all") or P.new_sub(iter.store, place(iter), place(iter))
    end
    if not part then return false end
    return true, { entity = entity, part = part }
end

function build.bytes()
    return new_entity("bytes", {
        parse_with = parse_bytes, read = read_part, write = grammar.write_part,
    })
end

local function must_be(self, kind, what)
    if self.kind ~= kind then fail(what .. ": only for " .. kind) end
end

-- How many bytes, or elements of an array: a number or `func(result, ctx)`.
function methods:count(count)
    if self.kind ~= "bytes" and self.kind ~= "array" then fail("count: only for bytes and arrays") end
    return with(self, "counted", grammar.amount("count", count))
end

-- Up to a token, or a regular expression; it is not part of the bytes, and comes next.
function methods:untiltoken(token)
    must_be(self, "bytes", "untiltoken")
    if type(token) == "string" then token = build.token(token) end
    if not grammar.is_entity(token) or token.kind ~= "token" then
        fail("untiltoken: a token expected")
    end
    return with(self, "token", token)
end

-- `func(result, part, last, ctx)` gets the bytes as they arrive; `last` is true with the last of them, or with
-- nil behind them.
function methods:chunked(func)
    must_be(self, "bytes", "chunked")
    return with(self, "by_chunks", grammar.must_be_function("chunked", func))
end
