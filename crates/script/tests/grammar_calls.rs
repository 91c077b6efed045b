//! Every call of Haka's buffers, parts, iterators, classes, alerts and logs, one line each: a row says what a
//! call gives, so that whoever changes one sees which.
mod common;

use common::{Scene, load};

/// `b` is a buffer of "0123456789", `s` its part "345", `i` an iterator at 2, `class` the module.
const SETTING: &str = "
    local b = haka.vbuffer_from('0123456789')
    local s, i, class = b:sub(3, 3), b:pos(2), require('class')
    local function text(...)
        local parts = {}
        for n = 1, select('#', ...) do parts[n] = tostring((select(n, ...))) end
        return table.concat(parts, ' ')
    end
    local function fails(...) return (tostring(select(2, pcall(...))):gsub('^[^:]*:%d*: ', '')) end
";

/// Expression, and what it gives as text.
const CALLS: &[(&str, &str)] = &[
    // vbuffer
    ("haka.vbuffer_from('abc')", "abc"),
    ("#haka.vbuffer_allocate(4)", "4"),
    ("haka.vbuffer_allocate(2)[1]", "0"),
    ("#b, b[1], b[10], b[0], b[11]", "10 48 57 nil nil"),
    ("(function() b[1] = 65 return b, b.modified end)()", "A123456789 true"),
    ("b:pos():sub(1), b:pos('begin'):sub(1), b:pos(9):sub(1), b:pos('end'):sub(1)", "0 0 9 nil"),
    ("b:sub(), b:sub(8), b:sub(8, 'all'), b:sub(2, 3), b:sub(8, 9)", "0123456789 89 89 234 89"),
    (
        "(function() local o = haka.vbuffer_from('x') b:append(o) return b, #o end)()",
        "0123456789x 0",
    ),
    ("(function() local c = b:clone() c:erase() return #c, #b end)()", "0 10"),
    ("b.modified", "false"),
    // vbuffer_sub
    ("#s, s[1], s[3], s[4]", "3 51 53 nil"),
    ("s:pos('begin'):sub(2), s:pos(1):sub(1), s:pos('end'):sub(1)", "34 4 6"),
    ("s:sub(1), s:sub(0, 2)", "45 34"),
    ("(function() s:zero() return b end)()", "012\0\0\u{0}6789"),
    ("(function() s:erase() return b, #s end)()", "0126789 0"),
    (
        "(function() local o = haka.vbuffer_from('xy') s:replace(o) return b, s, #o end)()",
        "012xy6789 xy 0",
    ),
    ("s:isflat(), s:flatten()", "true 345"),
    ("s:check_size(3)", "true 3"),
    ("s:check_size(4)", "false 3"),
    (
        "(function() local ref, buf = s:select() local out = tostring(b) ref:restore(buf) return out, b end)()",
        "0126789 0123456789",
    ),
    ("s:asnumber(), s:asnumber('big'), s:asnumber('little')", "3355701 3355701 3486771"),
    ("(function() s:sub(0, 2):setnumber(0x4142) return b end)()", "012AB56789"),
    ("(function() s:sub(0, 2):setnumber(0x4142, 'little') return b end)()", "012BA56789"),
    ("s:asbits(0, 4), s:asbits(4, 4), s:asbits(4, 8)", "3 3 51"),
    ("(function() s:setbits(4, 4, 9) return b end)()", "0129456789"),
    ("s:asstring()", "345"),
    ("(function() s:setstring('long one') return b, s end)()", "012long one6789 long one"),
    ("(function() s:setfixedstring('xy') return b end)()", "012xy56789"),
    ("(function() s:setfixedstring('wxyz') return b end)()", "012wxy6789"),
    // vbuffer_iterator
    ("i:advance(3), i:sub(1), i:advance(99)", "3 5 4"),
    ("i:available(), i:check_available(8)", "8 true 8"),
    ("i:check_available(9)", "false 8"),
    ("i:insert(haka.vbuffer_from('xy')), b, i:sub(1)", "xy 01xy23456789 2"),
    ("i:sub(2), i:sub('available'), i:sub('all'), i:sub(1)", "23 456789 nil nil"),
    ("(function() i:split() return i:sub(1), b:isflat() end)()", "2 true"),
    ("(function() local j = b:pos(5) i:move_to(j) return i:sub(1) end)()", "5"),
    ("(function() local j = i:copy() j:advance(1) return i:sub(1), j:sub(1) end)()", "2 3"),
    ("i:wait(), b:pos('end'):wait()", "true false"),
    ("(function() local n = 0 for p in i:foreach_available() do n = n + #p end return n end)()", "8"),
    ("(function() i:advance(3) local m = i.meter i.meter = 0 return m, i.meter end)()", "3 0"),
    ("i.iseof, b:pos('end').iseof", "false true"),
    ("(function() i:mark() i:unmark() i:mark(true) i:unmark() return i:sub(1) end)()", "2"),
    // Bytes that are put in just before a part are no part of it; those within are.
    ("(function() b:pos(3):insert('xx') return s end)()", "345"),
    ("(function() b:pos(4):insert('xx') return s end)()", "3xx45"),
    ("(function() b:pos(6):insert('xx') return s end)()", "345"),
    // class
    ("class.class('A')", "class: A"),
    ("class.class('A'):new().x", "nil"),
    ("(function() local A = class.class('A') function A.method:x() return 7 end return A:new():x() end)()", "7"),
    (
        "(function() local A = class.class('A') local B = class.class('B', A)
            return class.super(B) == A, class.isa(B:new(), A), class.isa(A:new(), B), class.classof(B:new()) == B,
                class.isclass(B), class.isclass(B:new()) end)()",
        "true true false true true false",
    ),
    (
        "(function() local a = class.class('A'):new() local kept = 1
            a:addproperty('p', function(self) return kept end, function(self, v) kept = v end)
            a.p = 5 return a.p, kept end)()",
        "5 5",
    ),
    (
        "(function() local A = class.class('A') function A.method:__index(key) return key end
            local a = A:new() a:addproperty('p', function() return 1 end) return a.p, a.q end)()",
        "1 q",
    ),
    ("fails(function() local a = class.class('A'):new() a:addproperty('p', function() return 1 end) a.p = 2 end)",
        "A: property 'p' is read-only"),
    // alert and log: what they refuse.
    ("type(haka.alert{}), type(haka.alert{}:update{ severity = 'low' })", "table table"),
    ("fails(haka.alert, { severity = 'none' })", "haka.alert: severity must be one of low, medium, high, got 'none'"),
    ("fails(haka.alert, { confidence = 'none' })", "haka.alert: confidence must be one of low, medium, high, got 'none'"),
    ("fails(haka.alert, { completion = 'none' })", "haka.alert: completion must be one of failed, successful, got 'none'"),
    ("fails(haka.alert, { start = 1 })", "haka.alert: unknown key 'start'"),
    ("fails(haka.alert, { method = { name = 1 } })", "haka.alert: unknown key 'method.name'"),
    ("fails(haka.alert, { sources = 'x' })", "haka.alert: sources must be haka.alert.address(...) or service(...), or a list"),
    ("fails(function() haka.log.loud('x') end)", "haka.log: unknown level 'loud'"),
    ("type(haka.log_section('mine').warning)", "function"),
];

#[test]
fn every_call_gives_what_its_row_says() {
    let mut wrong = Vec::new();
    for (call, wanted) in CALLS {
        let text = format!(
            "{}\nlocal got = text({call})\nif got ~= {wanted:?} then error(got, 0) end",
            SETTING.replace('\n', " "),
            wanted = Lua(wanted),
        );
        if let Err(error) = load(&text) {
            wrong.push(format!("{call}: {wanted:?} expected, got {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A string as Lua's source has it.
struct Lua<'a>(&'a str);

impl std::fmt::Debug for Lua<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\0', "\\000").replace('"', "\\\""))
    }
}

#[test]
fn an_alert_says_all_that_it_was_given() {
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)
            local a = haka.alert{
                start_time = 1, end_time = 2.5, description = 'd', severity = 'high', confidence = 0.5,
                completion = 'successful', method = { description = 'm', ref = { 'r1', 'r2' } },
                sources = haka.alert.address(flow.srcip, 'name', 7),
                targets = { haka.alert.service('tcp', 80), haka.alert.address(flow.dstip) }, ref = 'x',
            }
            a:update{ severity = 'low' }
        end }",
    );
    scene.open();
    let alerts = scene.alerts();
    let texts = |at: usize| format!("{:?}", alerts.get(at));
    let first = texts(0);
    for part in [
        "start_time: Some(1.0)",
        "end_time: Some(2.5)",
        "description: Some(\"d\")",
        "severity: Some(High)",
        "confidence: Some(Number(0.5))",
        "completion: Some(Successful)",
        "method: Some(Method { description: Some(\"m\"), refs: [\"r1\", \"r2\"] })",
        "sources: [\"address: 198.18.0.1, name, 7\"]",
        "targets: [\"service: tcp, 80\", \"address: 198.18.0.2\"]",
        "refs: [\"x\"]",
        "number: 1",
        "is_update: false",
    ] {
        assert!(first.contains(part), "{part} in {first}");
    }
    let second = texts(1);
    assert!(second.contains("number: 1") && second.contains("is_update: true"), "{second}");
}
