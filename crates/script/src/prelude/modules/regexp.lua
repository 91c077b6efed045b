-- regexp/pcre: see ../regexp.lua.
local P = ...

return P.regexp
