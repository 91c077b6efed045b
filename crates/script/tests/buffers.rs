//! Buffers, parts and iterators: every operation, and changes of a stream.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::wire::Wire;
use common::{Scene, load};
use tollgate_policy::Verdict;

fn plain(body: &str) -> String {
    format!(
        "haka.rule{{ hook = tcp_connection.events.receive_data,
        eval = function(flow, current, dir)\n{body}\nend }}"
    )
}

/// Runs `body` at load; a failed assertion is an error.
#[track_caller]
fn holds(body: &str) {
    let text = format!(
        "local function is(a, b) if a ~= b then error(tostring(a) .. ' is not ' .. tostring(b), 2) end end\n{body}"
    );
    if let Err(error) = load(&text) {
        panic!("{error}");
    }
}

/// What `body` fails with.
#[track_caller]
fn fails(body: &str) -> String {
    let error = load(body).map(|_| ()).unwrap_err().to_string();
    error.lines().next().unwrap_or_default().split(": ").skip(1).collect::<Vec<_>>().join(": ")
}

#[test]
fn a_buffer_is_made_read_and_written() {
    holds(
        "local b = haka.vbuffer_from('hello')
        is(#b, 5) is(b[1], 104) is(b[5], 111) is(b[0], nil) is(b[6], nil) is(b.modified, false)
        b[1] = 72 b[5] = 33
        is(b:asstring(), 'Hell!') is(tostring(b), 'Hell!') is(b.modified, true) is(b[1], 72)
        local z = haka.vbuffer_allocate(3)
        is(z:asstring(), '\\0\\0\\0')
        z:append(b)
        is(z:asstring(), '\\0\\0\\0Hell!') is(#b, 0)
        local c = z:clone()
        z[1] = 1
        is(c[1], 0) is(#c, 8)
        is(c:isflat(), true) is(c:flatten():asstring(), c:asstring())
        local enough, there = c:check_size(9)
        is(enough, false) is(there, 8)",
    );
}

#[test]
fn parts_follow_what_happens_around_them() {
    holds(
        "local b = haka.vbuffer_from('0123456789')
        local low, high, all = b:sub(1, 3), b:sub(6), b:sub()
        is(low:asstring(), '123') is(high:asstring(), '6789') is(high:sub(1, 2):asstring(), '78')
        low:replace(haka.vbuffer_from('abcdef'))
        is(b:asstring(), '0abcdef456789') is(low:asstring(), 'abcdef') is(high:asstring(), '6789')
        high[2] = 88
        is(b:asstring(), '0abcdef456X89')
        b:sub(0, 3):erase()
        is(b:asstring(), 'cdef456X89') is(low:asstring(), 'cdef') is(all:asstring(), 'cdef456X89')
        high:zero()
        is(#high, 4) is(b:asstring(), 'cdef45\\0\\0\\0\\0')
        low:setstring('') is(#low, 0) is(b:sub(0, 2):asstring(), '45')
        high:setfixedstring('ab') is(high:asstring(), 'ab\\0\\0')
        high:setfixedstring('abcdefg') is(high:asstring(), 'abcd') is(b:asstring(), '45abcd')",
    );
}

#[test]
fn numbers_and_bits_are_read_and_written() {
    holds(
        "local b = haka.vbuffer_from('\\1\\2\\3\\4\\5\\6\\7\\8')
        is(b:sub(0, 2):asnumber(), 0x0102) is(b:sub(0, 4):asnumber('big'), 0x01020304)
        is(b:sub(0, 4):asnumber('little'), 0x04030201) is(b:sub(7):asnumber(), 8)
        b:sub(0, 2):setnumber(0xbeef) is(b:sub(0, 2):asnumber(), 0xbeef) is(b[1], 0xbe)
        b:sub(0, 2):setnumber(0xbeef, 'little') is(b[1], 0xef)
        b:sub(0, 2):setnumber(-2) is(b:sub(0, 2):asnumber(), 0xfffe)
        local t = haka.vbuffer_from('\\69\\0')
        is(t:asbits(0, 4), 4) is(t:asbits(4, 4), 5) is(t:asbits(0, 8), 69) is(t:asbits(6, 4), 4)
        is(t:asbits(0, 4, 'little'), 5) is(t:asbits(4, 4, 'little'), 4)
        t:setbits(4, 8, 0xff) is(t:sub():asnumber(), 0x4ff0)
        t:setbits(0, 4, 2, 'little') is(t[1], 0x42)",
    );
}

#[test]
fn iterators_move_insert_and_meter() {
    holds(
        "local b = haka.vbuffer_from('0123456789')
        local i = b:pos('begin')
        is(i:available(), 10) is(i.iseof, false) is(i.meter, 0)
        is(i:advance(3), 3) is(i.meter, 3) is(i:sub(2):asstring(), '34') is(i.meter, 5)
        i.meter = 0
        local s = i:insert(haka.vbuffer_from('ab'))
        is(s:asstring(), 'ab') is(b:asstring(), '01234ab56789') is(i:available(), 5)
        local c = i:copy()
        is(c:sub('available'):asstring(), '56789') is(c:sub(1), nil) is(c.iseof, true) is(c:wait(), false)
        c:move_to(i) is(c:sub(1):asstring(), '5')
        local enough, there = i:check_available(6)
        is(enough, false) is(there, 5)
        local n = 0
        for part in i:foreach_available() do n = n + #part end
        is(n, 5)
        local e = b:pos('end') e:insert(haka.vbuffer_from('!')) is(b:asstring(), '01234ab56789!')
        is(b:pos(2):sub(2):asstring(), '23') is(i:advance(9), 1)
        local ref, part = b:sub(5, 2):select()
        is(part:asstring(), 'ab') is(b:asstring(), '0123456789!')
        part[1] = 65
        ref:restore(part) is(b:asstring(), '01234Ab56789!')
        b:pos(0):split() b:pos(3):mark() b:pos(3):unmark()",
    );
}

#[test]
fn a_buffer_that_is_given_away_is_empty() {
    holds(
        "local a, b = haka.vbuffer_from('a'), haka.vbuffer_from('b')
        a:pos('end'):insert(b) is(#b, 0) is(a:asstring(), 'ab')
        a:pos('begin'):insert(b) is(a:asstring(), 'ab')
        local kept = a:sub(1)
        haka.vbuffer_from('x'):append(a) is(#a, 0) is(kept:asstring(), 'b')",
    );
}

#[test]
fn misuse_is_named() {
    for (body, wanted) in [
        ("haka.vbuffer_from(7)", "haka.vbuffer_from: a string expected, got number"),
        ("haka.vbuffer_allocate(-1)", "haka.vbuffer_allocate: offset or length out of range"),
        ("local b = haka.vbuffer_from('a') b[2] = 1", "vbuffer: there is no byte 2"),
        (
            "local b = haka.vbuffer_from('a') b[1] = 256",
            "vbuffer: a byte is a number from 0 to 255",
        ),
        (
            "local b = haka.vbuffer_from('a') b.x = 1",
            "vbuffer: only bytes can be set, by their number",
        ),
        ("local b = haka.vbuffer_from('a') b:nope()", "vbuffer: unknown field 'nope'"),
        ("haka.vbuffer_from('a'):sub(2)", "sub: offset or length out of range"),
        ("haka.vbuffer_from('a'):pos(2)", "pos: offset or length out of range"),
        ("haka.vbuffer_from('a'):sub(0, -1)", "sub: offset or length out of range"),
        ("haka.vbuffer_from(''):asnumber()", "asnumber: 1 to 8 bytes expected, got 0"),
        ("haka.vbuffer_from('a'):asnumber('middle')", "asnumber: 'big' or 'little' expected"),
        ("haka.vbuffer_from('a'):asbits(0, 9)", "asbits: offset or length out of range"),
        ("haka.vbuffer_from('a'):pos(0):insert(7)", "insert: a buffer expected, got number"),
        (
            "local b = haka.vbuffer_from('a') b:append(b)",
            "append: a buffer cannot be appended to itself",
        ),
        (
            "local b = haka.vbuffer_from('a') b:sub():append(b)",
            "append: only a whole buffer can grow",
        ),
        (
            "local i = haka.vbuffer_from('a'):pos(0) i.x = 1",
            "iterator: has no fields of yours but 'meter'",
        ),
        ("local i = haka.vbuffer_from('a'):pos(0) i:nope()", "iterator: unknown field 'nope'"),
    ] {
        assert_eq!(fails(body), wanted, "{body}");
    }
}

#[test]
fn changes_of_a_stream_reach_the_receiver_and_later_rules() {
    let mut wire = Wire::new(&format!(
        "{}\n{}",
        plain(
            "current:sub(0, 5):replace(haka.vbuffer_from('HELLO,'))
            current:pos('end'):insert(haka.vbuffer_from('!'))
            current[8] = 87"
        ),
        plain("print(#current, current:asstring(), current.modified)")
    ));
    assert_eq!(wire.push(b"hello world", false), Verdict::Accept);
    wire.got("HELLO, World!");
    assert_eq!(wire.said(), ["13\tHELLO, World!\ttrue"]);
    assert_eq!(wire.push(b"hello again", true), Verdict::Accept);
    wire.got("HELLO, World!HELLO, Wgain!");
}

#[test]
fn a_packet_and_bytes_that_have_gone_are_read_only() {
    let mut scene = Scene::new(
        "haka.rule{ hook = tcp_connection.events.receive_packet, eval = function(flow, pkt)
            print(pcall(function() pkt.payload[1] = 3 end))
            print(pcall(function() pkt.payload:erase() end))
        end }",
    );
    scene.packet(tollgate_wire::Direction::ToServer, b"hello");
    assert_eq!(
        scene.said(),
        ["false\ttest.lua:2: read only buffer", "false\ttest.lua:3: read only buffer"]
    );
}

#[test]
fn a_script_that_names_no_edit_cannot_edit_and_is_told_how() {
    let body = "local call = 'era' .. 'se'\ncurrent[call](current)";
    let mut scene = Scene::new(&plain(body));
    assert_eq!(scene.data(&[b"abc"], false), Verdict::Drop);
    let said = scene.said().remove(0);
    assert_eq!(
        said,
        "error tcp: test.lua:4: read only buffer: the script names no call that changes bytes; \
         give the rule options = { edits = true }"
    );
    let text = plain(body).replace("eval =", "options = { edits = true }, eval =");
    let mut wire = Wire::new(&text);
    assert_eq!(wire.push(b"abc", false), Verdict::Accept);
    wire.got("");
}

#[test]
fn in_pass_through_nothing_can_be_written() {
    let settings =
        tollgate_script::Settings { pass_through: true, ..tollgate_script::Settings::default() };
    let mut scene = Scene::with(&plain("current:erase()"), settings);
    assert_eq!(scene.data(&[b"abc"], false), Verdict::Drop);
    assert_eq!(scene.said().remove(0), "error tcp: test.lua:3: read only buffer");
}

#[test]
fn an_edit_that_changes_nothing_is_none() {
    let mut wire = Wire::new(&plain(
        "local ref, part = current:sub(1, 2):select()
        ref:restore(part)",
    ));
    wire.push(b"abcd", false);
    wire.got("abcd");
}

/// Random edits by the script, and the same in a plain vector.
#[test]
fn random_edits_leave_what_a_naive_copy_says() {
    let mut random = Random(7);
    for round in 0..100 {
        let mut naive: Vec<u8> = (b'a'..=b'z').cycle().take(random.below(40)).collect();
        let original = naive.clone();
        let mut body = String::new();
        for _ in 0..random.below(12) {
            let off = random.below(naive.len() + 1);
            let len = random.below(naive.len() - off + 1).min(7);
            let new: String = (0..random.below(5)).map(|_| 'A').collect();
            match random.below(4) {
                0 if off < naive.len() => {
                    body += &format!("current[{}] = 48\n", off + 1);
                    naive[off] = b'0';
                }
                1 => {
                    body += &format!("current:pos({off}):insert(haka.vbuffer_from('{new}'))\n");
                    naive.splice(off..off, new.bytes());
                }
                2 => {
                    body += &format!("current:sub({off}, {len}):erase()\n");
                    naive.drain(off..off + len);
                }
                _ => {
                    body += &format!("current:sub({off}, {len}):setstring('{new}')\n");
                    naive.splice(off..off + len, new.bytes());
                }
            }
        }
        let text = format!("{}\n{}", plain(&body), plain("print(current:asstring())"));
        let mut wire = Wire::new(&text.replace("eval =", "options = { edits = true }, eval ="));
        assert_eq!(wire.push(&original, false), Verdict::Accept, "{round}: {body}");
        let wanted = String::from_utf8(naive).unwrap();
        if !original.is_empty() {
            assert_eq!(String::from_utf8_lossy(&wire.out), wanted, "{round}: {body}");
            assert_eq!(wire.said(), [wanted], "{round}: {body}");
        }
    }
}

/// A small generator (Knuth's constants); its high bits are good enough.
struct Random(u64);

impl Random {
    fn below(&mut self, max: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % max.max(1)
    }
}
