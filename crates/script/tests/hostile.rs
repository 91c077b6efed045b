//! Scripts that mean harm, or are wrong as harm would be: each costs its connection at most, in bounded time, and is
//! told with its file and line; the next connection feels nothing.
mod common;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Scene;
use common::frames::{tcp, udp};
use tollgate_policy::Verdict;
use tollgate_script::{Settings, Watch};
use tollgate_wire::Direction;

/// A global that is made at load, and what the rule then does with it.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "list = {} for i = 1, 30 do list[i] = '' end big = ('a'):rep(2e6)",
        "while true do table.concat(list, big) end",
    ),
    ("big = ('a'):rep(2e6) s = ('a'):rep(20)", "while true do s:gsub('a', big) end"),
    (
        "big = ('a'):rep(2e6) s = ('ab'):rep(20)",
        "while true do s:gsub('.-b', function() return big end) end",
    ),
    ("big = ('a'):rep(2e6)", "while true do local x = big .. 'x' end"),
    ("big = ('a'):rep(2e6)", "while true do haka.alert{ description = big } end"),
    ("big = ('a'):rep(2e6)", "while true do debug.traceback(big) end"),
    ("big = ('a'):rep(2e6)", "while true do debug.pprint(big) end"),
    ("big = ('a'):rep(2e6)", "while true do pcall(error, big) end"),
    ("big = ('a'):rep(2e6)", "error(big)"),
    (
        "big = ('a'):rep(2e6) re = require('regexp/pcre').re:compile('a+b')",
        "while true do re:match(big) end",
    ),
    (
        "big = ('a'):rep(2e6) re = require('regexp/pcre').re:compile('a+b')",
        "local s = re:create_sink() while true do s:feed(big) end",
    ),
    (
        "big = ('a'):rep(2e6) set = haka.patterns{ 'ab', { regexp = 'a+c' } }",
        "while true do set:match(big) end",
    ),
    (
        "big = ('a'):rep(2e6) set = haka.patterns{ 'ab', { regexp = 'a+c' } }",
        "local s = set:stream() while true do s:feed(big) end",
    ),
    (
        "rem = require('regexp/pcre')",
        "local i = 0 while true do i = i + 1 pcall(rem.re.compile, rem.re, '((a{1,60}){1,60}){1,' .. i .. '}') end",
    ),
    (
        "rem = require('regexp/pcre')",
        "local i = 0 while true do i = i + 1 rem.re:compile('(a|b|c){1,400}' .. i) end",
    ),
    (
        "",
        "local l = {} for i = 1, 20000 do l[i] = 'word' .. i end while true do haka.patterns(l) end",
    ),
    ("", "while true do table.move({}, 1, 1e12, 2) end"),
    ("", "while true do pcall(unpack, {}, 1, 1e7) end"),
    ("", "while true do pcall(unpack, {}, 1, 7000) end"),
    ("", "local function f() coroutine.wrap(f)() end f()"),
    ("", "local function f() pcall(f) end f()"),
    (
        "",
        "local m = {} m.__tostring = function() print(setmetatable({}, m)) return '' end print(setmetatable({}, m))",
    ),
    (
        "",
        "local m = {} m.__tostring = function() return ('%s'):format(setmetatable({}, m)) end print(setmetatable({}, m))",
    ),
    ("", "local function f() table.sort({ 1, 2, 3 }, f) end f()"),
    (
        "",
        "local m = {} m.__lt = function() table.sort{ setmetatable({}, m), setmetatable({}, m) } end table.sort{ setmetatable({}, m), setmetatable({}, m) }",
    ),
    (
        "",
        "local m = {} m.__index = function(t, k) return (k:gsub('a', t)) end return ('a'):gsub('a', setmetatable({}, m))",
    ),
    (
        "",
        "local m = {} m.__index = function(t, k) return t[k .. 'x'] end return setmetatable({}, m).a",
    ),
    (
        "",
        "local m = {} m.__concat = function(a, b) return a .. b end return setmetatable({}, m) .. setmetatable({}, m)",
    ),
    (
        "",
        "local m = {} m.__eq = function(a, b) return a == b end return setmetatable({}, m) == setmetatable({}, m)",
    ),
    ("", "local m = {} m.__len = function(a) return #a end return #setmetatable({}, m)"),
    (
        "",
        "local m = {} m.__pairs = function(a) return pairs(a) end for k in pairs(setmetatable({}, m)) do end",
    ),
    ("", "local m = {} m.__call = function(a) return a() end return setmetatable({}, m)()"),
    ("", "local m = {} m.__unm = function(a) return 1 + -a end return -setmetatable({}, m)"),
    (
        "",
        "local function f(e) error(e) end xpcall(error, f) local function g() return xpcall(g, g) end g()",
    ),
    (
        "",
        "local function f() local co = coroutine.wrap(function() pcall(f) coroutine.yield() end) co() co() end f()",
    ),
    (
        "",
        "local l = {} for i = 1, 200 do l[i] = coroutine.create(function() pcall(function() coroutine.yield() error('x') end) local n = l[i + 1] if n then local function d(k) if k == 0 then coroutine.resume(n) else coroutine.wrap(d)(k - 1) end end d(50) end end) coroutine.resume(l[i]) end coroutine.resume(l[1])",
    ),
    ("", "local function f() pcall(string.gsub, 'a', 'a', f) end f()"),
    ("", "local function f(x) return x:gsub('a', f) end f('a')"),
    ("", "local t = setmetatable({}, {}) getmetatable(t).__index = t print(t.x)"),
    ("", "local t = setmetatable({}, { __index = function(t, k) return t[k] end }) print(t.x)"),
    ("", "error(setmetatable({}, { __tostring = function() while true do end end }))"),
    ("", "error(setmetatable({}, { __tostring = function() error('x') end }))"),
    ("", "error(setmetatable({}, { __tostring = function() return {} end }))"),
    ("", "print(setmetatable({}, { __tostring = function() return nil end }))"),
    ("", "local t = {} for i = 1, 1e6 do t[i] = i end error(t)"),
    ("", "local t = {} t.t = t error(t)"),
    ("", "error()"),
    ("", "error(nil)"),
    ("", "error(coroutine.create(function() end))"),
    ("", "error(flow)"),
    (
        "",
        "local t = setmetatable({}, { __gc = function() while true do end end }) t = nil while true do t = {} end",
    ),
    ("", "('x'):rep(1e3):find(('(x?'):rep(31) .. (')'):rep(31))"),
    ("", "('x'):find(('['):rep(1e5))"),
    ("", "('x'):find(('(x)'):rep(33))"),
    ("", "('x'):find(('%f[x]'):rep(1e4))"),
    ("", "('x'):rep(1e5):find(('x-'):rep(1e4) .. 'y')"),
    ("", "while true do ('%99.99f'):rep(100):format(unpack({1,2,3})) end"),
    ("", "while true do pcall(string.format, ('%99d'):rep(1e4)) end"),
    ("", "while true do haka.vbuffer_allocate(1e15) end"),
    ("", "while true do pcall(haka.vbuffer_allocate, 1e15) end"),
    ("", "local b = haka.vbuffer_allocate(1e6) while true do b:asbits(0, 53) b:asnumber() end"),
    ("", "local b = haka.vbuffer_allocate(1e6) while true do b:clone() end"),
    ("", "local b = haka.vbuffer_allocate(1e6) while true do b:zero() end"),
    ("", "local b = haka.vbuffer_allocate(1e6) while true do b[1] = 1 local x = b[2] end"),
    (
        "",
        "local b = haka.vbuffer_allocate(1e6) while true do for i = 1, 100 do b[i] = 1 end b:sub(0, 10):asstring() end",
    ),
    ("", "while true do raw.create(65535) end"),
    (
        "",
        "while true do local p = ipv4.create(raw.create(65000)) p.ttl = 3 p:compute_checksum() end",
    ),
    ("", "while true do local p = tcp.create(ipv4.create(raw.create(60000))) p:inject() end"),
    ("big = ('/a/..'):rep(1e5)", "while true do require('protocol/http').uri.normalize(big) end"),
    ("big = ('a=b;'):rep(1e5)", "while true do require('protocol/http').cookies.split(big) end"),
    ("", "while true do debug.pprint(_G) end"),
    (
        "",
        "debug.pprint(setmetatable({}, { fields = { 'x' }, __index = function() while true do end end }))",
    ),
    ("", "debug.pprint(setmetatable({}, { fields = 3, name = {} }))"),
    ("", "local t = {} for i = 1, 100 do t = { t, t } end debug.pprint(t)"),
    (
        "",
        "rawset(current, 'store', { len = 1e9, base = 0, epoch = 0, oldest = 0 }) print(current:asstring())",
    ),
    ("", "rawset(current, 'store', nil) print(current:asstring())"),
    (
        "",
        "for k, v in pairs(current) do rawset(current, k, -1) end print(pcall(current.asstring, current)) print(#current)",
    ),
    ("", "while true do coroutine.resume(coroutine.create(function() coroutine.yield() end)) end"),
    ("", "coroutine.yield(1)"),
    ("", "table.sort({3,1,2,5,4,9,8,7}, function() return true end)"),
    ("list = {} for i = 1, 1e5 do list[i] = {} end", "table.sort(list, function() error('x') end)"),
    (
        "",
        "local t = setmetatable({}, { __len = function() return 1e12 end }) for i, v in ipairs(t) do end while true do local n = #t end",
    ),
    ("", "while true do tostring(1e308) tonumber(('1'):rep(1e4)) end"),
    ("", "string.rep = nil string.format = nil table = nil error('x')"),
    ("", "haka.log = nil haka = nil print = nil pcall = nil error('x')"),
    ("", "_G.tostring = function() while true do end end error({})"),
    ("", "setmetatable(_G, { __index = function() while true do end end }) print(nothing)"),
    ("", "goto a ::a:: goto a"),
    (
        "a = {} for i = 1, 2000 do a[i] = ('x'):rep(500) .. i end",
        "while true do for i = 1, 2000 do local s = a[i] .. a[2001 - i] end end",
    ),
];

/// Wide, since other tests run beside this one.
const TIME_MAX: Duration = Duration::from_secs(20);

fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn scene(before: &str, body: &str) -> Scene {
    let text = format!(
        "{before}\nhaka.rule{{ hook = tcp_connection.events.receive_data,
        eval = function(flow, current) if flow.srcport == 1 then return end\n{body}\nend }}"
    );
    let watch = Some(Watch { now, max: Duration::from_millis(200) });
    Scene::with(&text, Settings { watch, ..Settings::default() })
}

#[test]
fn hostile_scripts_cost_their_connection_only() {
    for (before, body) in SCRIPTS {
        let mut scene = scene(before, body);
        let begun = Instant::now();
        let verdict = scene.data(&[b"x"], false);
        let took = begun.elapsed();
        assert!(took < TIME_MAX, "{body}: {took:?}");
        let said = scene.said();
        if verdict == Verdict::Drop {
            let last = said.last().map(String::as_str).unwrap_or_default();
            // What is left of the stack or the memory may not do for a place.
            let is_told =
                ["test.lua:", "memory is exhausted", "stack overflow", "error in error handling"]
                    .iter()
                    .any(|told| last.contains(told));
            // Where the rule has filled the reports itself there is no room for ours.
            assert!(is_told || said.len() == 1000, "{body}: {last}");
        }
        scene.next();
        scene.client.port = 1;
        assert_eq!(scene.data(&[b"x"], false), Verdict::Accept, "{body}");
    }
}

#[test]
fn what_instructions_do_not_tell_the_clock_tells() {
    let mut scene = scene("big = ('a'):rep(2e6)", "while true do local x = big .. 'x' end");
    assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
    let said = scene.said();
    assert!(said[0].ends_with("test.lua:4: a rule ran for more than 200 ms"), "{said:?}");
    assert!(said[1].contains("test.lua:4: in"), "{said:?}");
    assert_eq!(scene.policy.rule_errors().instructions, 1);
}

/// What scripts can reach of ours are plain tables, in which they can put anything. It harms them only: nothing that
/// is lent to them panics, which would end the program.
#[test]
fn objects_that_were_tampered_with_harm_nobody_else() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(info);
    }));
    for seed in 1..=150 {
        let text = format!("seed = {seed}\n{TAMPER}");
        let mut scene = Scene::with(&text, Settings::default());
        scene.open();
        scene.packet(Direction::ToServer, b"some bytes");
        scene.data(&[b"some ", b"bytes"], false);
        scene.data(&[b"and more of them"], true);
        for frame in [
            tcp(("192.168.20.9", 4000), ("198.18.0.2", 23), b"hello"),
            udp(("192.168.20.9", 4000), ("198.18.0.2", 514), b"a line"),
        ] {
            scene.cross(&frame);
            scene.made();
        }
        scene.end();
    }
    drop(std::panic::take_hook());
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}

const TAMPER: &str = r"
local function random(n) seed = (seed * 1103515245 + 12345) % 2147483648 return seed % n + 1 end
local odd = { -1, 0, 1, 3, 1e300, -1e300, 0/0, 1/0, 0.5, 2^31, 2^53, 'text', '', true, false, {}, print, 1500, 65536 }
local methods = { 'asstring', 'sub', 'pos', 'erase', 'replace', 'setstring', 'asnumber', 'setnumber', 'asbits', 'setbits',
    'select', 'clone', 'append', 'insert', 'advance', 'available', 'check_available', 'mark', 'unmark', 'restore', 'copy',
    'verify_checksum', 'compute_checksum', 'drop', 'send', 'inject', 'flatten', 'zero', 'move_to', 'match', 'feed' }
local function tamper(value, depth)
    if type(value) ~= 'table' or depth > 4 then return end
    local keys = {}
    for key in next, value do keys[#keys + 1] = key end
    for _, key in ipairs(keys) do
        if random(4) == 1 then rawset(value, key, odd[random(#odd)]) else tamper(rawget(value, key), depth + 1) end
    end
end
local function try(object)
    for _ = 1, 30 do
        local name, a, b, c = methods[random(#methods)], odd[random(#odd)], odd[random(#odd)], odd[random(#odd)]
        pcall(function() return object[name](object, a, b, c) end)
        pcall(function() return #object, object[1], object.len, object.payload, object.checksum, object.flags.all end)
        pcall(function() object[random(3)] = 7 object.ttl, object.seq = a, b end)
    end
end
local set, re = haka.patterns{ 'a', { regexp = 'b+' } }, require('regexp/pcre').re:compile('b+')
local function all(...)
    for _, object in ipairs{ ... } do
        local inner = {}
        pcall(function() inner = { object, object:pos('begin'), object:sub(0, 2) } end)
        pcall(function() inner[#inner + 1] = object.payload inner[#inner + 1] = object.ip inner[#inner + 1] = object.flags end)
        tamper(object, 0)
        try(object)
        for _, each in ipairs(inner) do try(each) end
        pcall(function() set:match(object) end)
        pcall(function() set:stream():feed(object) end)
        pcall(function() re:match(object) end)
        pcall(function() debug.pprint(object) end)
        pcall(function() print(object) end)
    end
end
for _, hook in ipairs{ tcp_connection.events.new_connection, tcp_connection.events.receive_packet, tcp_connection.events.receive_data,
    tcp_connection.events.end_connection, tcp.events.receive_packet, udp.events.receive_packet, tcp.events.send_packet,
    udp_connection.events.receive_data } do
    haka.rule{ hook = hook, eval = all }
end
haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true, edits = true }, eval = function(flow, iter)
    iter:sub(2)
    all(iter, flow)
end }
";
