---@meta haka

-- What every script has without asking: `haka`, its events, rules, alerts and logs.
-- `tollgate check` reads these files, too: what they do not know, it complains of.

---@alias haka.Direction "up"|"down"

--- What a rule listens to. `F` is the function that it calls.
---@class haka.Event<F>

---@class (exact) haka.RuleOptions
---@field streamed? boolean Run `eval` as a coroutine over the stream: it gets an iterator, and its reads wait
---@field edits? boolean The rule may change or hold bytes, though no call in the script says so

---@alias haka.Place ipv4.Addr|ipv6.Addr|haka.Network|string

--- Which connections a rule is for, by what their flow has; for any other its `eval` is not called.
---@class (exact) haka.Match
---@field srcip? haka.Place|haka.Place[] An address or network, or several
---@field dstip? haka.Place|haka.Place[]
---@field srcport? integer|string|(integer|string)[] A port or a range like "8000-8080", or several
---@field dstport? integer|string|(integer|string)[]
---@field direction? haka.Direction In receive_packet and receive_data: one direction only

---@class (exact) haka.Rule<F>
---@field hook haka.Event<F> The event to listen to
---@field on? haka.Event<F> Another name for `hook`
---@field match? haka.Match In events of `tcp_connection`: which connections the rule is for
---@field eval F Called for each event
---@field options? haka.RuleOptions
---@field name? string

--- What a group's rule has returned, then what its event gives.
---@alias haka.Continue<F> fun(result: any, ...): boolean

---@class (exact) haka.RuleGroup<F>
---@field hook haka.Event<F>
---@field on? haka.Event<F>
---@field match? haka.Match In events of `tcp_connection`: which connections the group is for
---@field init? F Called first
---@field continue? haka.Continue<F> Called behind each rule: whether the next one is asked
---@field final? F Called last, if no rule has stopped the group
---@field options? haka.RuleOptions
---@field name? string

---@class (exact) haka.GroupRule<F>
---@field eval F
---@field name? string

---@class haka.Group<F>
local Group = {}

---@param rule haka.GroupRule<F>|F
function Group:rule(rule) end

---@class haka
haka = {}

--- Makes a rule.
---@generic F
---@param rule haka.Rule<F>
function haka.rule(rule) end

--- Makes one rule of many: `init`, each rule until `continue` says no, `final`.
---@generic F
---@param group haka.RuleGroup<F>
---@return haka.Group<F>
function haka.rule_group(group) end

---@class haka.events
---@field started haka.Event<fun()> The rules are loaded
---@field exiting haka.Event<fun()> The program stops
haka.events = {}

---@class haka.AlertNode

---@class (exact) haka.AlertMethod
---@field description? string
---@field ref? string|string[]

---@class (exact) haka.AlertFields
---@field description? any
---@field severity? "low"|"medium"|"high"
---@field confidence? "low"|"medium"|"high"|number
---@field completion? "failed"|"successful"
---@field start_time? any Seconds, or a time
---@field end_time? any Seconds, or a time
---@field method? haka.AlertMethod
---@field sources? haka.AlertNode|haka.AlertNode[]
---@field targets? haka.AlertNode|haka.AlertNode[]
---@field ref? any Text, an alert, or a list of them

---@class haka.Alert
---@field number integer
local Alert = {}

--- Adds to an alert, or changes it.
---@param fields haka.AlertFields
---@return haka.Alert
function Alert:update(fields) end

--- Raises an alert.
---@class haka.alert
---@overload fun(fields: haka.AlertFields): haka.Alert
haka.alert = {}

--- Who: addresses, ports, names.
---@param ... any
---@return haka.AlertNode
function haka.alert.address(...) end

--- What of it: `"tcp/80"`.
---@param ... any
---@return haka.AlertNode
function haka.alert.service(...) end

--- Logs; called itself, at level info.
---@class haka.Log
---@overload fun(format: any, ...)
local Log = {}
---@param format any
function Log.debug(format, ...) end
---@param format any
function Log.info(format, ...) end
---@param format any
function Log.warning(format, ...) end
---@param format any
function Log.warn(format, ...) end
---@param format any
function Log.error(format, ...) end
---@param format any
function Log.fatal(format, ...) end

---@type haka.Log
haka.log = nil

--- A section of one's own for logs.
---@param name string
---@return haka.Log
function haka.log_section(name) end

---@param text string
---@return vbuffer.Buffer
function haka.vbuffer_from(text) end

--- A buffer of zeros.
---@param length integer
---@return vbuffer.Buffer
function haka.vbuffer_allocate(length) end

--- The time of the running event.
---@return haka.Time
function haka.network_time() end

---@class haka.Time
---@field secs integer
---@field nsecs integer
---@field seconds number

--- A set of signatures: names with literals or `{ literal = …, regexp = …, nocase = …, extended = … }`.
---@param signatures table
---@param options? haka.PatternOptions
---@return haka.Patterns
function haka.patterns(signatures, options) end

---@class (exact) haka.PatternOptions
---@field every? boolean Tell each match, not only the first of each name

---@class haka.Hit
---@field name any
---@field to integer The place behind the last byte of the match
---@field from? integer The place of its first, if it is a literal

---@class haka.Patterns
local Patterns = {}

---@param data string|vbuffer.Part
---@return haka.Hit[]?
function Patterns:match(data) end

--- What looks through one direction of the connection; without arguments, one of your own.
---@param flow? haka.Flow|haka.PatternOptions
---@param direction? haka.Direction
---@param options? haka.PatternOptions
---@return haka.PatternStream
function Patterns:stream(flow, direction, options) end

---@class haka.PatternStream
---@field found table By name, where each was first found
local PatternStream = {}

---@param data string|vbuffer.Part
---@param eof? boolean
---@return haka.Hit[]?
function PatternStream:feed(data, eof) end

--- What dissectors are made from.
---@class haka.helper
---@field Dissector class.Class
---@field FlowDissector class.Class
haka.helper = {}

---@class (exact) haka.DissectorFields
---@field type class.Class Such as `tcp_connection.helper.TcpFlowDissector`
---@field name string

---@class haka.dissector
haka.dissector = {}

--- A class of dissectors: an object for each connection that it is chosen for.
---@param fields haka.DissectorFields
---@return any
function haka.dissector.new(fields) end

---@class haka.grammar
---@field debug any
---@field converter table
---@field Result class.Class
---@field ArrayResult class.Class
haka.grammar = {}

--- Describes what messages look like; the function sees the words of grammars as globals.
---@environment haka.grammar.Words
---@param name string
---@param describe fun()
---@return any
function haka.grammar.new(name, describe) end

---@class haka.state_machine
---@field State class.Class
---@field BidirectionalState class.Class
haka.state_machine = {}

--- Describes which messages may come when; the function sees the words of machines as globals.
---@environment haka.state_machine.Words
---@param name string
---@param describe fun()
---@return any
function haka.state_machine.new(name, describe) end

---@class haka.debug
debug = {}

---@param text? any
---@return string
function debug.traceback(text) end

--- Prints a value readably, field by field.
---@param value any
---@param indent? any
---@param depth? integer
---@param hide? any A function of name and value, or a list of them
---@param out? fun(text: string)
function debug.pprint(value, indent, depth, hide, out) end

---@return boolean
function debug.hide_underscore(name, value) end
---@return boolean
function debug.hide_function(name, value) end
