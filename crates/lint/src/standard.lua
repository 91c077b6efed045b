-- What is left of Lua's own library in a script's sandbox, for `tollgate check`. Editors know it by themselves.

---@class string
string = {}
function string.byte(...) end
function string.char(...) end
function string.find(...) end
---@return string
function string.format(...) end
function string.gmatch(...) end
function string.gsub(...) end
function string.len(...) end
---@return string
function string.lower(...) end
function string.match(...) end
---@return string
function string.rep(...) end
---@return string
function string.reverse(...) end
---@return string
function string.sub(...) end
---@return string
function string.upper(...) end

---@class table
table = {}
---@return string
function table.concat(...) end
function table.insert(...) end
function table.maxn(...) end
function table.remove(...) end
function table.sort(...) end
function table.unpack(...) end
function table.pack(...) end
function table.move(...) end
function table.foreach(...) end
function table.foreachi(...) end
function table.getn(...) end

---@class math
---@field huge any
---@field pi any
math = {}
function math.abs(...) end
function math.acos(...) end
function math.asin(...) end
function math.atan(...) end
function math.atan2(...) end
function math.ceil(...) end
function math.cos(...) end
function math.cosh(...) end
function math.deg(...) end
function math.exp(...) end
function math.floor(...) end
function math.fmod(...) end
function math.frexp(...) end
function math.ldexp(...) end
function math.log(...) end
function math.log10(...) end
function math.max(...) end
function math.min(...) end
function math.modf(...) end
function math.pow(...) end
function math.rad(...) end
function math.random(...) end
function math.randomseed(...) end
function math.sin(...) end
function math.sinh(...) end
function math.sqrt(...) end
function math.tan(...) end
function math.tanh(...) end

---@class bit
bit = {}
function bit.arshift(...) end
function bit.band(...) end
function bit.bnot(...) end
function bit.bor(...) end
function bit.bswap(...) end
function bit.bxor(...) end
function bit.lshift(...) end
function bit.rol(...) end
function bit.ror(...) end
function bit.rshift(...) end
function bit.tobit(...) end
---@return string
function bit.tohex(...) end

---@class coroutine
coroutine = {}
function coroutine.create(...) end
function coroutine.isyieldable(...) end
function coroutine.resume(...) end
function coroutine.running(...) end
function coroutine.status(...) end
function coroutine.wrap(...) end
function coroutine.yield(...) end

function assert(...) end
function error(...) end
function getmetatable(...) end
function ipairs(...) end
function next(...) end
function pairs(...) end
function pcall(...) end
function print(...) end
function rawequal(...) end
function rawget(...) end
function rawlen(...) end
function rawset(...) end
function select(...) end
function setmetatable(...) end
function tonumber(...) end
---@return string
function tostring(...) end
function type(...) end
function unpack(...) end
function xpcall(...) end
function collectgarbage(...) end
function require(...) end

---@type any
_G = nil
---@type string
_VERSION = nil
