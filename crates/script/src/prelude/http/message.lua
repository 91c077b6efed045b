-- Requests and responses as rules see them. What they say lies in the Rust side until it is asked for.
local P = ...
local native, fail, class = P.native.http, P.fail, P.class
local setmetatable, rawget, rawset, type, tostring = setmetatable, rawget, rawset, type, tostring
local format = string.format

-- The fields of a message's table that are ours, by index: whose it is, its number there, whether it
-- may still be changed, and whether it was.
local VERSION = 3
local TALK, NUMBER, OPEN, CHANGED, HEADERS = 1, 2, 3, 4, 5

local LEFT = "its head has gone on; it can be changed in its own event only"

local function check(message)
    if not native.knows(message[TALK], message[NUMBER]) then
        fail("http: this message is long over")
    end
end

local function text_of(what, value)
    if type(value) == "string" then return value end
    if type(value) == "number" then return tostring(value) end
    fail(format("http: %s must be a string, got %s", what, type(value)))
end

local function must_be_open(message, what)
    local open = message[OPEN]
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
    return native.fields(message[TALK], message[NUMBER])
end

-- By name, or by number: the line as it is now.
function Headers.__index(headers, name)
    local message = rawget(headers, OF)
    if type(name) == "number" then
        local list = list_of(headers)
        if not list[name * 2] then return nil end
        return setmetatable({ name = list[name * 2 - 1], value = list[name * 2] }, Header)
    end
    if type(name) ~= "string" then return nil end
    local value = native.field(message[TALK], message[NUMBER], name)
    if value == nil then check(message) end
    return value
end

function Headers.__newindex(headers, name, value)
    local message = rawget(headers, OF)
    name = text_of("the name of a header", name)
    must_be_open(message, name)
    if value ~= nil then value = text_of(name, value) end
    local problem = native.set_field(message[TALK], message[NUMBER], name, value)
    if problem then fail(format("http: %s: %s", name, problem)) end
    message[CHANGED] = true
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
            local value = native.part(message[TALK], message[NUMBER], part)
            if value == nil then check(message) end
            return value
        end
        if key == "headers" then
            local headers = rawget(message, HEADERS)
            if not headers then
                headers = setmetatable({ [OF] = message }, Headers)
                rawset(message, HEADERS, headers)
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
        local problem = native.set_part(message[TALK], message[NUMBER], part, text_of(key, value))
        if problem then fail(format("http: %s: %s", key, problem)) end
        message[CHANGED] = true
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

-- `open` is true, or says why nothing may be changed.
function P.http.message(talk, number, is_up, open)
    return setmetatable({ talk, number, open, false, false }, is_up and REQUEST or RESPONSE)
end

-- The head goes on: puts the changes into the stream, where it is at `at`. Gives how much longer it is.
function P.http.write_head(message, stream, at)
    rawset(message, OPEN, false)
    if not message[CHANGED] then return 0 end
    local list, more = native.splices(message[TALK], message[NUMBER]), 0
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
    local body = rawget(message, "body_kind")
    if not body then return end
    rawset(message, "chunks", true)
    if body ~= "length" then return end
    local talk = message[TALK]
    local asked = message[NUMBER] == 0 and native.answered(talk) or message[NUMBER]
    if message.version == "HTTP/1.0" or native.part(talk, asked, VERSION) == "HTTP/1.0" then
        fail("http: enable_data_modification: HTTP/1.0 has no chunks; change the Content-Length with the"
            .. " body as long as both are here")
    end
    message.headers["Content-Length"] = nil
    message.headers["Transfer-Encoding"] = "chunked"
end
