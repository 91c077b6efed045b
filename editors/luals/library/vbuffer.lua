---@meta vbuffer

-- Bytes: buffers of one's own, parts of a stream or payload, and places in them.

---@alias vbuffer.Endian "big"|"little"

---@class vbuffer.Part
---@field [integer] integer A byte, from 1 on
---@field modified boolean Whether anything was written
local Part = {}

---@return string
function Part:asstring() end
--- A part of the part. Offsets count from 0.
---@param offset integer
---@param length? integer|"all"
---@return vbuffer.Part
function Part:sub(offset, length) end
---@param offset integer|"begin"|"end"
---@return vbuffer.Iterator
function Part:pos(offset) end
--- Zeros in place of the bytes.
function Part:zero() end
function Part:erase() end
--- Other bytes in place of these; the other buffer is empty then.
---@param buffer vbuffer.Buffer
function Part:replace(buffer) end
---@param text any
function Part:setstring(text) end
--- As much of it as fits.
---@param text any
function Part:setfixedstring(text) end
---@return boolean
function Part:isflat() end
---@return vbuffer.Part
function Part:flatten() end
--- Whether there are so many bytes, and how many there are.
---@param wanted integer
---@return boolean, integer
function Part:check_size(wanted) end
--- Takes the bytes out: a place to `restore` them at, and a buffer of them.
---@return vbuffer.Iterator, vbuffer.Buffer
function Part:select() end
---@return vbuffer.Buffer
function Part:clone() end
---@param endian? vbuffer.Endian
---@return number
function Part:asnumber(endian) end
---@param value number
---@param endian? vbuffer.Endian
function Part:setnumber(value, endian) end
---@param offset integer
---@param count integer
---@param endian? vbuffer.Endian
---@return number
function Part:asbits(offset, count, endian) end
---@param offset integer
---@param count integer
---@param value number
---@param endian? vbuffer.Endian
function Part:setbits(offset, count, value, endian) end
--- Puts another buffer behind this one; for buffers and payloads.
---@param buffer vbuffer.Buffer
function Part:append(buffer) end

---@class vbuffer.Buffer: vbuffer.Part

---@class vbuffer.Iterator
---@field meter integer Bytes passed so far; may be set
---@field iseof boolean Whether all was read and the stream has ended
local Iterator = {}

--- True when there is something to read, false at the end.
---@return boolean
function Iterator:wait() end
--- Bytes that can be read without waiting.
---@return integer
function Iterator:available() end
--- Waits for so many bytes: whether they are there, and how many are.
---@param count integer
---@return boolean, integer
function Iterator:check_available(count) end
--- Passes over so many bytes; how many there were.
---@param count integer
---@return integer
function Iterator:advance(count) end
--- The next bytes, nil when there is none left.
---@param count integer|"available"|"all"
---@return vbuffer.Part?
function Iterator:sub(count) end
--- For `for`: whatever comes, until the end.
---@return fun(): vbuffer.Part
function Iterator:foreach_available() end
--- Puts bytes here and stands behind them.
---@param buffer vbuffer.Buffer
---@return vbuffer.Part
function Iterator:insert(buffer) end
--- Puts back what `select` has taken out.
---@param buffer vbuffer.Buffer
function Iterator:restore(buffer) end
function Iterator:split() end
---@return vbuffer.Iterator
function Iterator:copy() end
---@param other vbuffer.Iterator
function Iterator:move_to(other) end
--- Holds everything from here on; with `true` it goes on and a copy is kept to be read.
---@param readonly? boolean
function Iterator:mark(readonly) end
function Iterator:unmark() end
