-- What needs no packet of rules.md 1.8 to 1.11, a line each: what is printed stands in `values.events`.
local class = require("class")
local rem = require("regexp/pcre")
local http = require("protocol/http")

local function line(name, ...) print(name, ...) end
local function buffer() return haka.vbuffer_from("hello world") end

-- Addresses and networks.
local one = ipv4.addr("1.2.3.4")
line("addr", one, ipv4.addr(0x01020304), ipv4.addr(1, 2, 3, 4), one.packed)
line("addr order", one == ipv4.addr(1, 2, 3, 4), one < ipv4.addr("1.2.3.5"), one <= one)
local net = ipv4.network("192.168.10.77/25")
line("network", net, net.net, net.mask, net:contains(ipv4.addr("192.168.10.1")), net:contains(ipv4.addr("192.168.11.1")))
local host = ipv4.network("1.2.3.4/32")
line("network of one", host, host:contains(one), host:contains(ipv4.addr("1.2.3.5")))
line("network of an address", ipv4.network(ipv4.addr("10.0.0.77"), 24):contains(ipv4.addr("10.0.0.77")))

-- Buffers.
local b = buffer()
line("buffer", #b, b[1], b[12], b.modified)
b[1] = 72
line("a byte", b:asstring(), b.modified, #haka.vbuffer_allocate(4), haka.vbuffer_allocate(4)[4])
line("pos", buffer():pos(6):sub(3):asstring(), buffer():pos("begin"):available(), buffer():pos("end"):available())
line("sub", buffer():sub(6, "all"):asstring(), buffer():sub(0, 5):asstring(), buffer():sub(6):asstring(), #buffer():sub())
b = buffer()
local other, copy = haka.vbuffer_from("!!"), b:clone()
b:append(other)
line("append moves", b:asstring(), #other, copy:asstring())
b = buffer()
b:sub(0, 2):zero()
line("zero", b[1], b[2], b[3])
b:sub(0, 3):erase()
other = haka.vbuffer_from("XYZ")
b:sub(0, 2):replace(other)
line("erase, replace moves", b:asstring(), #other)
line("sizes", buffer():sub(0, 5):isflat(), buffer():sub(0, 5):check_size(5), buffer():sub(0, 5):check_size(6))
b = buffer()
local place, taken = b:sub(0, 6):select()
line("select", b:asstring(), taken:asstring())
place:restore(taken)
line("restore", b:asstring())
local word = b:sub(0, 4)
line("asnumber", word:asnumber(), word:asnumber("big"), word:asnumber("little"))
word:setnumber(0x41424344)
line("setnumber", b:asstring())
word:setnumber(0x41424344, "little")
line("setnumber", b:asstring())
b = buffer()
word = b:sub(0, 2)
line("asbits", word:asbits(0, 4), word:asbits(4, 8), word:asbits(0, 4, "little"))
word:setbits(0, 4, 5)
line("setbits", word:asbits(0, 4), b:asstring())
b = buffer()
word = b:sub(0, 5)
word:setstring("longer text")
line("setstring", b:asstring(), #word)
word = b:sub(0, 3)
word:setfixedstring("abcdef")
line("setfixedstring", b:asstring())
word:setfixedstring("z")
line("setfixedstring", b:asstring())

-- Iterators.
local i = buffer():pos("begin")
i:mark()
line("advance", i:advance(3), i:available(), i.meter, i.iseof)
i:unmark()
line("check_available", i:check_available(3))
line("check_available", i:check_available(300))
b = buffer()
i = b:pos(5)
line("insert", i:insert(haka.vbuffer_from(" big")):asstring(), b:asstring(), i:available())
i = b:pos(0)
line("sub", i:sub(2, true):asstring(), i:sub("available"):asstring(), i:sub("all"), i.iseof)
i = b:pos(3)
i:split()
local j = i:copy()
j:advance(2)
i:move_to(j)
line("copy, move_to", i:available())
for part in buffer():pos("begin"):foreach_available() do line("foreach", part:asstring()) end
i = buffer():pos("begin")
line("wait", i:wait(), i:advance(100), i:wait())

-- Expressions.
line("match", rem.re:compile("w[o]r"):match("hello world"))
line("match", rem.re:compile("w[o]r"):match("nothing"))
line("flags", rem.re:compile("WOR", rem.re.CASE_INSENSITIVE):match("hello world"))
line("flags", rem.re:compile("w o r # c", rem.re.EXTENDED):match("hello world"))
line("percent", rem.re:compile("%d+%.%d"):match("a 12.3"))
line("lines", rem.re:compile("^b$"):match("a\nb\nc"))
line("at once", rem.re:match("o w", "hello world"))
b = buffer()
line("part", rem.re:compile("wor"):match(b:sub()):asstring(), rem.re:compile("zz"):match(b:sub()))
i = b:pos("begin")
line("iterator", rem.re:compile("o w"):match(i), i.meter, i:sub("all"):asstring())
line("iterator", rem.re:compile("o w"):match(b:pos("begin"), true):asstring())
local sink = rem.re:compile("abc"):create_sink()
line("sink", sink:feed("xxab", false), sink:ispartial())
line("sink", sink:feed("c", false))

-- Targets and cookies.
local uri = http.uri.split("http://u:p@www.example.org:8888/a/../b/%7eq/./c?x=1&y=2#frag")
line("uri", uri.scheme, uri.authority, uri.userinfo, uri.user, uri.pass, uri.host, uri.port, uri.path, uri.query, uri.args.y,
    uri.fragment)
uri.args.y = "3"
line("uri", uri)
line("normalize", uri:normalize())
line("normalize", http.uri.normalize("HTTP://Www.Example.ORG:80/a/./b/../c/%7euser"))
local cookies = http.cookies.split("a=b; c=d;e=f")
line("cookies", cookies.a, cookies.c, cookies.e)

-- Classes.
local Base = class.class("Base")
function Base.method:__init(x) self.x = x end
function Base.method:twice() return self.x * 2 end
Base.property.y = { get = function(self) return -self.x end, set = function(self, y) self.x = -y end }
local Child = class.class("Child", Base)
function Child.method:__init() class.super(Child).__init(self, 5) end
function Child.method:twice() return "twice " .. class.super(Child).twice(self) end
function Child.method:__index(name) return name == "made" and "up" or nil end
local child = Child:new()
line("class", child:twice(), child.y, child.made, child.nothing)
child.y = 20
line("class", child.x, class.classof(child) == Child, class.isa(child, Base), class.isclass(Child), class.super(Child) == Base)
child:addproperty("z", function() return "own" end)
line("class", child.z)

-- Machines.
local machine = haka.state_machine.new("lamp", function()
    off = state()
    on = state()
    any:on{ event = events.finish, execute = function(self) line("machine", self.name, "finish") end }
    off:on{ event = events.init, execute = function() line("machine", "init") end, jump = on }
    off:on{ event = events.leave, execute = function() line("machine", "leave off") end }
    on:on{ event = events.enter, when = function(self) return self.name == "mine" end,
        execute = function() line("machine", "enter on") end }
    initial(off)
end)
local instance = machine:instanciate{ name = "mine" }
line("machine", instance.current)
instance:finish()

-- Readable.
debug.pprint({ 1, a = { b = "c" }, _hidden = true, f = print }, nil, nil, { debug.hide_underscore, debug.hide_function })
