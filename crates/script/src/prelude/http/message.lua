-- Requests and responses as rules see them. What they say lies in the Rust side until it is asked for.
local P = ...
local native, fail, class = P.native.http, P.fail, P.class
local setmetatable, rawget, rawset, type, tostring = setmetatable, rawget, rawset, type, tostring
local format = string.format
local field, part_of = native.field, native.part

-- The fields of a message's table that are ours, by index, which the interpreter takes fastest as a number in the
-- text: [1] the conversation that it is of, [2] its number there, [3] whether it may still be changed (or why not),
-- [4] whether it was, [5] its headers once they were asked for, [6] how the end of its body is found, [7] whether
-- that goes on in chunks of ours.
local VERSION = 3

local LEFT = "its head has gone on; it can be changed in its own event only"

local function check(message)
    if not native.knows(message[1], message[2]) then
        fail("http: this message is long over")
    end
end

local function text_of(what, value)
    if type(value) == "string" then return value end
    if type(value) == "number" then return tostring(value) end
    fail(format("http: %s must be a string, got %s", what, type(value)))
end

local function must_be_open(message, what)
    local open = message[3]
    if open ~= true then fail(format("http: %s: %s", what, open or LEFT)) end
end

-- Where the headers keep the message that they are of.
local OF = {}
local Headers = { __metatable = false, class = class.class("HeadersResult") }
local Header = { __metatable = false, class = class.class("Result") }

-- Name and value in turn, in the order of the wire, each line of its own.
local function list_of(headers)
    local message = rawget(headers, OF)
    check(message)
    return native.fields(message[1], message[2])
end

-- By name, or by number: the line as it is now.
function Headers.__index(headers, name)
    local kind = type(name)
    if kind == "string" then
        local message = headers[OF]
        local value = field(message[1], message[2], name)
        if value == nil then check(message) end
        return value
    end
    if kind ~= "number" then return nil end
    local list = list_of(headers)
    if not list[name * 2] then return nil end
    return setmetatable({ name = list[name * 2 - 1], value = list[name * 2] }, Header)
end

function Headers.__newindex(headers, name, value)
    local message = rawget(headers, OF)
    name = text_of("the name of a header", name)
    must_be_open(message, name)
    if value ~= nil then value = text_of(name, value) end
    local problem = native.set_field(message[1], message[2], name, value)
    if problem then fail(format("http: %s: %s", name, problem)) end
    message[4] = true
end

function Headers.__len(headers) return #list_of(headers) / 2 end

function Headers.__pairs(headers)
    local list, at = list_of(headers), -1
    return function()
        at = at + 2
        return list[at], list[at + 1]
    end
end

function Headers.__ipairs(headers)
    return function(_, at)
        local header = headers[at + 1]
        if header then return at + 1, header end
    end, headers, 0
end

local function split_uri(message) return P.http.uri.split(message.uri) end
local function split_cookies(message, name)
    return P.http.cookies.split(message.headers[name])
end

-- A kind of message: its parts by name, and what is made of them when asked for.
local function kind(name, parts, order, made)
    local meta = { __metatable = false, class = class.class(name) }
    function meta.__index(message, key)
        local part = parts[key]
        if part then
            local value = part_of(message[1], message[2], part)
            if value == nil then check(message) end
            return value
        end
        if key == "headers" then
            local headers = message[5]
            if not headers then
                headers = setmetatable({ [OF] = message }, Headers)
                message[5] = headers
            end
            return headers
        end
        local make = made[key]
        if make then
            local value = make(message)
            rawset(message, key, value)
            return value
        end
        if key == "enable_data_modification" then return P.http.enable_data_modification end
    end
    function meta.__newindex(message, key, value)
        local part = parts[key]
        if not part then
            if key == "headers" then fail("http: headers can be changed, not replaced") end
            return rawset(message, key, value)
        end
        must_be_open(message, key)
        local problem = native.set_part(message[1], message[2], part, text_of(key, value))
        if problem then fail(format("http: %s: %s", key, problem)) end
        message[4] = true
    end
    function meta.__pairs(message)
        local at = 0
        return function()
            at = at + 1
            local key = order[at]
            if key then return key, message[key] end
        end
    end
    return meta
end

local REQUEST = kind("HttpRequestResult", { method = 1, uri = 2, version = 3 },
    { "method", "uri", "version", "headers" },
    { split_uri = split_uri, split_cookies = function(m) return split_cookies(m, "Cookie") end })
local RESPONSE = kind("HttpResponseResult", { version = 3, status = 4, reason = 5 },
    { "version", "status", "reason", "headers" },
    { split_cookies = function(m) return split_cookies(m, "Set-Cookie") end })

-- `open` is true, or says why nothing may be changed; `body` is the kind of its body, or false.
function P.http.message(talk, number, is_up, open, body)
    if is_up then return P.http.new_request(talk, number, open, body) end
    return setmetatable({ talk, number, open, false, false, body, false }, RESPONSE)
end

function P.http.new_request(talk, number, open, body)
    return setmetatable({ talk, number, open, false, false, body, false }, REQUEST)
end

-- Where the number stands that says how long the body is, and how many bytes that is.
function P.http.length_field(message) return native.length_field(message[1], message[2]) end

function P.http.has_chunks(message) return message[7] end

-- The head goes on as the beginning of the event's bytes, which are at `offset` of the stream; false if that does not
-- do, because of what is to become of the body.
function P.http.pass_head(message, offset)
    if message[7] then return false end
    message[3] = false
    if message[4] then native.write(message[1], message[2], offset) end
    return true
end

-- The head goes on: puts the changes into the stream, where it is at `at`. Gives how much longer it is.
function P.http.write_head(message, stream, at)
    message[3] = false
    if not message[4] then return 0 end
    local list, more = native.splices(message[1], message[2]), 0
    for i = #list - 2, 1, -3 do
        local text = list[i + 2]
        P.splice(stream, at + list[i], list[i + 1], text)
        more = more + #text - list[i + 1]
    end
    return more
end

-- From now on the body of the message may change its length: it goes on in chunks, if it does not end
-- with the connection anyway.
function P.http.enable_data_modification(message)
    must_be_open(message, "enable_data_modification")
    local body = message[6]
    if not body then return end
    message[7] = true
    if body ~= "length" then return end
    local talk = message[1]
    local asked = message[2] == 0 and native.answered(talk) or message[2]
    if message.version == "HTTP/1.0" or native.part(talk, asked, VERSION) == "HTTP/1.0" then
        fail("http: enable_data_modification: HTTP/1.0 has no chunks; change the Content-Length with the"
            .. " body as long as both are here")
    end
    message.headers["Content-Length"] = nil
    message.headers["Transfer-Encoding"] = "chunked"
end
