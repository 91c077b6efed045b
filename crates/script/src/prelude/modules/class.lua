-- class: see ../class.lua.
local P = ...

return P.class
