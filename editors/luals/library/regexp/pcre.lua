---@meta regexp.pcre

-- Expressions, matched in one pass over bytes in pieces.

---@class regexp.Sink
local Sink = {}

--- Whether there is a match, where it begins and where it ends, counted from the first byte.
---@param data string|vbuffer.Part
---@param eof? boolean
---@return boolean, integer?, integer?
function Sink:feed(data, eof) end
---@return boolean
function Sink:ispartial() end

---@class regexp.Expression
local Expression = {}

--- In a string: text, begin, end. In a part: the part that matches. Over an iterator: true, or that part.
---@param subject string|vbuffer.Part|vbuffer.Iterator
---@param createsub? boolean
---@param readonly? boolean
---@return any, integer, integer
function Expression:match(subject, createsub, readonly) end
---@return regexp.Sink
function Expression:create_sink() end

---@class regexp.Engine
---@field CASE_INSENSITIVE integer
---@field EXTENDED integer
local Engine = {}

---@param pattern string
---@param flags? integer
---@return regexp.Expression
function Engine:compile(pattern, flags) end
---@param pattern string
---@param subject string|vbuffer.Part|vbuffer.Iterator
---@param flags? integer
---@return any, integer, integer
function Engine:match(pattern, subject, flags) end

---@class regexp
---@field re regexp.Engine
local regexp = {}

return regexp
