---@meta class

-- Haka's classes.

---@class class.Class
---@field [string] unknown

---@class class
---@overload fun(name: string, parent?: class.Class): any
local class = {}

---@param name string
---@param parent? class.Class
---@return any
function class.class(name, parent) end
---@param of class.Class
---@return any
function class.new(of, ...) end
---@param value any
---@return any
function class.classof(value) end
---@param value any
---@return any
function class.super(value) end
---@param value any
---@return boolean
function class.isclass(value) end
---@param value any
---@param wanted class.Class
---@return boolean
function class.isa(value, wanted) end
---@param of class.Class
---@return fun(): any
function class.ancestors(of) end

return class
