-- The body of a message: a stream of its own, without the framing around it, that streamed rules read
-- as they read a connection. What they change and hold is carried over to the connection's stream.
--
--   store     its bytes, counted from the first of the body
--   main      the stream of the connection's direction
--   pieces    where those bytes that have not gone on lie in `main`
--   received  how many bytes of it have come
--   kind      how its end is found: "length", "chunked", "close"
--   chunks    whether it goes on in chunks of ours, whatever it came in
--   frame     where the number is that says how long the bytes are that come now
local P = ...
local fail = P.fail
local format, min, tonumber = string.format, math.min, tonumber
local remove, sub = table.remove, string.sub

local LENGTH = "http: the length of a body was changed after its head had gone on; call"
    .. " enable_data_modification() in the event of its head"

function P.http.new_body(main, kind, chunks)
    local store = P.stream_store()
    store.readers, store.ended, store.why = false, false, main.why
    return {
        store = store, main = main, pieces = {}, received = 0, kind = kind, chunks = chunks,
        frame = false,
    }
end

-- Notes where the decimal or hexadecimal number is that tells the length of what comes next.
function P.http.frame(body, at, len, base)
    local main = body.main
    body.frame = {
        at = P.new_iterator(main, at), len = len, delta = 0, hexadecimal = base == 16,
        size = tonumber(P.slice(main, at - main.base, len), base),
    }
end

-- Takes in `count` bytes at `at` of the connection's stream; gives them as a part of the body.
function P.http.add_to_body(body, at, count)
    local store, main = body.store, body.main
    local from = store.base + store.len
    if store.len == 0 and not main.text then
        store.text, store.patch, store.base, store.len = nil, nil, from, count
        store.off, store.gen = main.off + at - main.base, main.gen
    else
        store.text = P.whole(store) .. P.slice(main, at - main.base, count)
        store.len = store.len + count
    end
    store.fresh = from
    local pieces = body.pieces
    pieces[#pieces + 1] = {
        from = body.received, len = count, at = P.new_iterator(main, at), frame = body.frame,
    }
    body.received = body.received + count
    return P.new_sub(store, from, from + count, true)
end

-- The piece that holds the place `at` of the sender's body; its end belongs to the last one only.
local function piece_at(pieces, at)
    for i = 1, #pieces do
        local piece = pieces[i]
        if at < piece.from + piece.len or i == #pieces then return piece, i end
    end
end

local function wire(pieces, at)
    local piece = piece_at(pieces, at)
    return P.place(piece.at) + at - piece.from
end

-- Carries one change over: it may reach across several pieces.
local function carry(body, edit)
    local from, to, text = edit.start, edit.start + edit.erased, edit.text
    local _, first = piece_at(body.pieces, from)
    local last = first
    while body.pieces[last + 1] and to > body.pieces[last].from + body.pieces[last].len do
        last = last + 1
    end
    -- Each piece keeps its length as long as there is text for it; the last takes what is left over.
    local parts, used = {}, 0
    for i = first, last do
        local piece = body.pieces[i]
        local start = i == first and from or piece.from
        local out = min(to, piece.from + piece.len) - start
        local new = sub(text, used + 1, i < last and used + out or nil)
        used = used + #new
        parts[i] = { at = start - piece.from, out = out, text = new }
    end
    for i = last, first, -1 do
        local piece, part = body.pieces[i], parts[i]
        local more = #part.text - part.out
        if more ~= 0 and not (piece.frame or body.chunks or body.kind == "close") then fail(LENGTH) end
        P.splice(body.main, P.place(piece.at) + part.at, part.out, part.text)
        if piece.frame then piece.frame.delta = piece.frame.delta + more end
    end
end

-- Writes the numbers anew that no longer say the truth.
local function reframe(body)
    local main, done = body.main, nil
    for _, piece in ipairs(body.pieces) do
        local frame = piece.frame
        if frame and frame ~= done and frame.delta ~= 0 then
            if frame.at.at < main.left or P.place(frame.at) < main.left then fail(LENGTH) end
            local size = frame.size + frame.delta
            if size == 0 and frame.hexadecimal then
                fail("http: a chunk would be empty, which ends the body; call"
                    .. " enable_data_modification() in the event of its head")
            end
            local text = format(frame.hexadecimal and "%x" or "%d", size)
            P.splice(main, P.place(frame.at), frame.len, text)
            frame.size, frame.delta, frame.len = size, 0, #text
        end
        done = frame
    end
end

-- Puts what goes on, the bytes before `to` of the sender's body, into a chunk of its own; `edits` are
-- made on the way. The end of the body goes into the same breath as its last byte.
local function write_chunk(body, to, edits, ended)
    local main, pieces = body.main, body.pieces
    local from = pieces[1] and pieces[1].from or body.received
    local size = to - from
    for _, edit in ipairs(edits) do size = size + #edit.text - edit.erased end
    local tail = (size > 0 and "\r\n" or "") .. (ended and body.kind == "length" and "0\r\n\r\n" or "")
    if tail ~= "" then
        local at = wire(pieces, to > from and to - 1 or to)
        if to > from then
            P.splice(main, at, 1, P.slice(main, at - main.base, 1) .. tail)
        else
            P.splice(main, at, 0, tail)
        end
    end
    for i = #edits, 1, -1 do carry(body, edits[i]) end
    if size > 0 then P.splice(main, wire(pieces, from), 0, format("%x\r\n", size)) end
end

-- Forgets the pieces whose bytes go on.
local function forget(body, to, rest)
    local pieces = body.pieces
    while pieces[1] and pieces[1].from + pieces[1].len <= to do remove(pieces, 1) end
    local piece = pieces[1]
    if piece and piece.from < to then
        piece.len, piece.from, piece.at = piece.from + piece.len - to, to, rest
    end
end

-- Ends an event, or the body: the rules' changes are made in the connection's stream, and what they hold
-- is held there.
function P.http.close_body(body, ended)
    local store, main = body.store, body.main
    local marks = main.marks
    if marks then marks[body] = nil end
    if not (store.regions or store.readers or store.marks or body.chunks) then
        store.base, store.len, store.text, store.patch = store.base + store.len, 0, nil, nil
        store.left = store.base
        body.pieces = {}
        return
    end
    store.ended = ended
    local edits, held = {}, nil
    P.close_stream(store, function(start, erased, text)
        edits[#edits + 1] = { start = start, erased = erased, text = text }
    end, function(from) held = from end)
    local to = held or body.received
    if #body.pieces == 0 and #edits > 0 then fail(LENGTH) end
    local rest = held and P.new_iterator(main, wire(body.pieces, held))
    if body.chunks and body.kind ~= "close" then
        if #body.pieces > 0 then write_chunk(body, to, edits, ended) end
    else
        for i = #edits, 1, -1 do carry(body, edits[i]) end
        reframe(body)
    end
    forget(body, to, rest)
    if held and not main.why then
        if not main.marks then main.marks = {} end
        main.marks[body] = { at = rest, why = "mark" }
    end
end
