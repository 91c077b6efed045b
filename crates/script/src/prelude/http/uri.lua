-- http.uri and http.cookies: the parts of a target (RFC 3986) and of a Cookie header.
local P = ...
local fail = P.fail
local setmetatable, tostring, type, pairs, ipairs = setmetatable, tostring, type, pairs, ipairs
local format, char, concat = string.format, string.char, table.concat

-- How a split came to be: `bare`, whether its authority had no slashes in front, and what its query was.
local origins = setmetatable({}, { __mode = "k" })

local Uri = { __metatable = false, __index = {}, class = P.class.class("HttpUriSplit") }

-- `k=v&k=v` by name; a name without `=` has the value "". Of several the last counts.
local function arguments(query)
    local args = {}
    for pair in query:gmatch("[^&]+") do
        local name, value = pair:match("^([^=]*)=?(.*)$")
        if name ~= "" then args[name] = value end
    end
    return args
end

local function none_if_empty(text)
    if text ~= "" then return text end
end

-- Userinfo, host and port out of the authority.
local function split_authority(split, authority)
    split.authority = authority
    local userinfo, rest = authority:match("^(.*)@([^@]*)$")
    rest = rest or authority
    if userinfo then
        split.userinfo = none_if_empty(userinfo)
        local user, password = userinfo:match("^([^:]*):?(.*)$")
        split.user, split.pass = none_if_empty(user), none_if_empty(password)
    end
    -- An IPv6 address keeps its colons in brackets.
    local host, port = rest:match("^(%[[^%]]*%]):?(%d*)$")
    if not host then host, port = rest:match("^(.-):(%d*)$") end
    split.host = none_if_empty(host or rest)
    split.port = port and none_if_empty(port)
end

local function split_uri(text)
    if type(text) ~= "string" then fail("http.uri.split: a string expected, got " .. type(text)) end
    local split, origin = setmetatable({}, Uri), {}
    origins[split] = origin
    local rest, fragment = text:match("^([^#]*)#?(.*)$")
    split.fragment = none_if_empty(fragment)
    local query
    rest, query = rest:match("^([^?]*)%??(.*)$")
    if query ~= "" then
        split.query, split.args = query, arguments(query)
        origin.query, origin.args = query, arguments(query)
    end
    local scheme, authority, path = rest:match("^(%a[%w+.-]*)://([^/]*)(.*)$")
    if not scheme then authority, path = rest:match("^//([^/]*)(.*)$") end
    -- A target that is no path names a host, as that of CONNECT does.
    if not authority and rest ~= "*" then
        authority, path = rest:match("^([^/]+)(.*)$")
        origin.bare = authority ~= nil
    end
    split.scheme = scheme
    if authority and authority ~= "" then split_authority(split, authority) end
    split.path = none_if_empty(path or rest)
    return split
end

-- The query; of arguments that were changed a new one, those that were there first in their order.
local function query_of(split)
    local origin, args, query = origins[split] or {}, split.args, split.query
    if type(args) ~= "table" or query ~= origin.query then return query end
    local changed = false
    for _, pair in ipairs { { args, origin.args or {} }, { origin.args or {}, args } } do
        for name, value in pairs(pair[1]) do changed = changed or pair[2][name] ~= value end
    end
    if not changed then return query end
    local parts, seen, added = {}, {}, {}
    local function add(name)
        if args[name] ~= nil and not seen[name] then
            parts[#parts + 1] = format("%s=%s", tostring(name), tostring(args[name]))
        end
        seen[name] = true
    end
    for name in (query or ""):gmatch("([^&=]+)[^&]*") do add(name) end
    for name in pairs(args) do added[#added + 1] = name end
    table.sort(added, function(a, b) return tostring(a) < tostring(b) end)
    for _, name in ipairs(added) do add(name) end
    return none_if_empty(concat(parts, "&"))
end

-- What the parts make, whatever has been done to them. The authority is made of its parts.
function Uri:__tostring()
    local authority = self.host or self.authority
    if self.host then
        local user = self.userinfo
        if self.user then user = self.user .. (self.pass and ":" .. self.pass or "") end
        authority = (user and user .. "@" or "") .. self.host .. (self.port and ":" .. self.port or "")
    end
    local query, origin = query_of(self), origins[self] or {}
    local slashes = (self.scheme or not origin.bare) and "//" or ""
    return concat {
        self.scheme and self.scheme .. ":" or "", authority and slashes .. authority or "",
        self.path or "", query and "?" .. query or "",
        self.fragment and "#" .. self.fragment or "",
    }
end

-- Section 6.2.2: escapes of what needs none are undone, the others are in capitals.
local function normal_escapes(text)
    return (text:gsub("%%(%x%x)", function(digits)
        local plain = char(tonumber(digits, 16))
        if plain:match("^[%w._~-]$") then return plain end
        return "%" .. digits:upper()
    end))
end

-- Section 5.2.4: `.` and `..` are followed.
local function without_dots(path)
    if path:sub(1, 1) ~= "/" then return path end
    local out, last = {}, ""
    for part in path:gmatch("/([^/]*)") do
        last = part
        if part == ".." then
            out[#out] = nil
        elseif part ~= "." then
            out[#out + 1] = part
        end
    end
    local slash = (last == "." or last == "..") and #out > 0 and "/" or ""
    return "/" .. concat(out, "/") .. slash
end

local PORTS = { http = "80", https = "443" }

-- RFC 3986 section 6: two targets that mean the same become the same.
function Uri.__index:normalize()
    for _, part in ipairs { "userinfo", "user", "pass", "host", "path", "fragment" } do
        if self[part] then self[part] = normal_escapes(self[part]) end
    end
    local query = query_of(self)
    self.query = query and normal_escapes(query)
    if not self.scheme and self.authority then self.scheme = "http" end
    if self.scheme then self.scheme = self.scheme:lower() end
    if self.host then self.host = self.host:lower() end
    if self.port and self.port == PORTS[self.scheme] then self.port = nil end
    if self.path then self.path = without_dots(self.path) end
    if self.host and not self.path then self.path = "/" end
    if self.host then
        self.authority = (self.userinfo and self.userinfo .. "@" or "") .. self.host
            .. (self.port and ":" .. self.port or "")
    end
    if self.query then self.args = arguments(self.query) end
    local origin = origins[self]
    if origin then origin.query, origin.args = self.query, self.query and arguments(self.query) end
    return self
end

local Cookies = { __metatable = false, class = P.class.class("HttpCookiesSplit") }

local function split_cookies(line)
    local cookies = setmetatable({}, Cookies)
    for pair in (line or ""):gmatch("[^;]+") do
        local name, value = pair:match("^%s*([^=]-)%s*=%s*(.-)%s*$")
        if name and name ~= "" then cookies[name] = value end
    end
    return cookies
end

function Cookies:__tostring()
    local parts = {}
    for name, value in pairs(self) do parts[#parts + 1] = format("%s=%s", name, tostring(value)) end
    table.sort(parts)
    return concat(parts, "; ")
end

P.http = {
    uri = P.strict("http.uri", {
        split = split_uri,
        normalize = function(text) return tostring(split_uri(text):normalize()) end,
    }),
    cookies = P.strict("http.cookies", { split = split_cookies }),
}
