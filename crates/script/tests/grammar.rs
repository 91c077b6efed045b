//! `haka.grammar`: every entity and modifier, reading, writing and creating.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::load;

/// What every test begins with: `is` compares, `grammar` makes one whose rules are all exported, `at` is an
/// iterator at the beginning of a text.
const HELPERS: &str = "
local function is(a, b) if a ~= b then error(('%q is not %q'):format(tostring(a), tostring(b)), 2) end end
local function new(describe) return haka.grammar.new('test', describe) end
local function at(text) return haka.vbuffer_from(text):pos('begin') end
local function fails(wanted, value, err)
    if value ~= nil then error('it has parsed', 2) end
    is(tostring(err), 'parse error at byte ' .. wanted)
end
";

#[track_caller]
fn holds(body: &str) {
    if let Err(error) = load(&format!("{}{body}", HELPERS.replace('\n', " "))) {
        panic!("{error}");
    }
}

#[track_caller]
fn fails(body: &str) -> String {
    let error = load(&format!("{}{body}", HELPERS.replace('\n', " "))).map(|_| ()).unwrap_err();
    let error = error.to_string();
    error.lines().next().unwrap_or_default().split(": ").skip(1).collect::<Vec<_>>().join(": ")
}

#[test]
fn numbers_and_flags_are_read_and_written_in_their_bytes() {
    holds(
        "local g = new(function()
            head = record{
                field('version', number(4)), field('hdr_len', number(4):convert(converter.mult(4))),
                field('len', number(16)), field('id', number(16, 'little')),
                field('rb', flag), field('df', flag), field('mf', flag), field('offset', number(13)),
                field('big', number(64)),
            }
            export(head)
        end)
        local b = haka.vbuffer_from('\\69\\1\\2\\3\\4\\64\\5\\0\\0\\0\\0\\0\\0\\1\\0!')
        local iter = b:pos('begin')
        local r = g.head:parse(iter)
        is(r.version, 4) is(r.hdr_len, 20) is(r.len, 258) is(r.id, 0x0403)
        is(r.rb, false) is(r.df, true) is(r.mf, false) is(r.offset, 5) is(r.big, 256)
        is(iter:sub('all'):asstring(), '!')
        r.version = 6 r.hdr_len = 24 is(b[1], 0x66)
        r.id = 0x0102 is(b[4], 2) r.mf = true r.df = false r.offset = 0x1fff
        is(b[6], 0x3f) is(b[7], 0xff) is(r.offset, 0x1fff) is(r.nothing, nil)
        local names = {}
        for name in pairs(r) do names[#names + 1] = name end
        is(table.concat(names, ' '), 'version hdr_len len id rb df mf offset big')",
    );
}

#[test]
fn tokens_texts_and_bytes_are_parts_that_may_change_their_length() {
    holds(
        "local g = new(function()
            WS = token('[[:blank:]]+')
            CRLF = token('%r?%n')
            line = record{
                field('method', token('[[:alpha:]]+')), WS, field('uri', token('[^[:blank:]]+')), WS,
                text('HTTP/'), field('version', token('[0-9]+%.[0-9]+')), CRLF,
                field('rest', bytes():count(3)), field('more', bytes()),
            }
            export(line)
        end)
        local b = haka.vbuffer_from('GET  /x HTTP/1.1\\r\\nabcdef')
        local r, err = g.line:parse(b:pos('begin'))
        is(err, nil) is(r.method, 'GET') is(r.uri, '/x') is(r.version, '1.1')
        is(r.rest:asstring(), 'abc') is(#r.rest, 3) is(r.more:asstring(), 'def')
        r.method = 'DELETE' r.uri = '/a/longer/one' r.version = '2' r.rest = haka.vbuffer_from('')
        is(b:asstring(), 'DELETE  /a/longer/one HTTP/2\\r\\ndef')
        is(r.method, 'DELETE') is(r.uri, '/a/longer/one') is(#r.rest, 0) is(r.more:asstring(), 'def')
        fails(\"3 for field <unknown> in WS: token /[[:blank:]]+/ expected\", g.line:parse(at('GET')))
        fails(\"6 for field <unknown> in line: 'HTTP/' expected\", g.line:parse(at('GET / FTP/')))
        fails('16 for field rest in line: 3 bytes expected, 2 there', g.line:parse(at('GET / HTTP/1.1\\r\\nab')))",
    );
}

#[test]
fn bytes_may_end_before_a_token_and_come_in_portions() {
    holds(
        "local got = {}
        local g = new(function()
            DOT = token('%r%n%.%r%n')
            mail = record{ field('body', bytes():untiltoken(DOT)), DOT, field('next', token('.*')) }
            parts = sequence{ bytes():untiltoken('%r%n'):chunked(function(self, part, last, ctx)
                got[#got + 1] = (part and part:asstring() or 'nil') .. tostring(last) .. ctx.user
            end), token('%r%n') }
            count = bytes():options{ count = 3, chunked = function(self, part, last)
                got[#got + 1] = (part and part:asstring() or 'nil') .. tostring(last) end }
            export(mail, parts, count)
        end)
        local r = g.mail:parse(at('a\\r\\n.b\\r\\n.\\r\\nrest'))
        is(r.body:asstring(), 'a\\r\\n.b') is(r.next, 'rest')
        is(g.mail:parse(at('\\r\\n.\\r\\nrest')).body:asstring(), '')
        fails('4 for field body in mail: token /%r%n%.%r%n/ expected', g.mail:parse(at('a\\r\\n.')))
        g.parts:parse(at('ab\\r\\n'), nil, '!') g.count:parse(at('xyz')) g.count:parse(at('')) 
        is(table.concat(got, ' '), 'abfalse! niltrue! xyztrue')",
    );
}

#[test]
fn compounds_choose_repeat_and_go_back() {
    holds(
        "local g = new(function()
            item = record{
                field('kind', number(8)),
                field('value', branch({ [1] = number(8), [2] = number(16), text = token('[a-z]+'), default = 'continue' },
                    function(self, ctx) return self.kind == 3 and 'text' or self.kind end)),
            }
            strict = record{ field('kind', number(8)), branch({ [1] = number(8) }, function(self) return self.kind end) }
            list = record{
                field('count', number(8)),
                field('items', array(item):count(function(self, ctx) return self.count end)),
                field('tail', optional(number(8), function(self) return self.count > 1 end)),
                field('maybe', optional(text('yes'))),
            }
            zero = record{ field('bytes', array(number(8)):untilcond(function(last, ctx) return last == 0 end)) }
            digits = array(number(8)):whilecond(function(_, ctx) local c = ctx:lookahead() return c and c >= 48 and c < 58 end)
            all = array(number(16))
            pair = record{ union{ field('word', number(16)), field('high', number(8)),
                record{ field('upper', number(4)) } }, field('after', number(8)) }
            either = try{ record{ field('a', number(8)), verify(function(self) return self.a == 1 end, 'no one') },
                record{ field('b', number(16)) } }
            inside = record{ field('x', number(8)), try{ sequence{ field('y', number(8)), text('!') }, field('z', number(8)) } }
            export(item, strict, list, zero, digits, all, pair, either, inside)
        end)
        local r = g.list:parse(at('\\3\\1\\9\\2\\1\\0\\3abc\\7yes'))
        is(#r.items, 3) is(r.items[1].value, 9) is(r.items[2].value, 256) is(r.items[3].value, 'abc')
        is(r.tail, 7) is(r.maybe, 'yes')
        r = g.list:parse(at('\\1\\9no')) is(r.items[1].kind, 9) is(r.items[1].value, nil) is(r.tail, nil) is(r.maybe, nil)
        fails(\"1 for field <unknown> in strict: no case for '7'\", g.strict:parse(at('\\7')))
        r = g.zero:parse(at('ab\\0c')).bytes is(#r, 3) is(r[1], 97) is(r[3], 0)
        local iter = at('12a') r = g.digits:parse(iter) is(#r, 2) is(iter:sub('all'):asstring(), 'a')
        is(#g.all:parse(at('abcd')), 2)
        fails('2 for field <unknown> in all: 2 bytes expected, 1 there', g.all:parse(at('abc')))
        r = g.pair:parse(at('\\1\\2\\3')) is(r.word, 258) is(r.high, 1) is(r.upper, 0) is(r.after, 3)
        is(g.either:parse(at('\\1')).a, 1) r = g.either:parse(at('\\2\\3')) is(r.b, 0x203) is(r.a, nil)
        r = g.inside:parse(at('\\1\\2?')) is(r.y, nil) is(r.z, 2)",
    );
}

#[test]
fn modifiers_convert_check_apply_and_compute() {
    holds(
        "local seen
        local g = new(function()
            size = number(8):const(3)
            hex = token('[0-9a-f]+'):convert(converter.tonumber('%x', 16))
            packet = record{
                size,
                field('hex', hex), text(';'),
                field('name', token('[a-z]+')):apply(function(value, result, ctx) result.loud = value:upper() seen = ctx.user end),
                execute(function(self, ctx) ctx.limit = self.hex end),
                field('sum', number(8):validate(function(self) self.sum = #self.name end)),
                verify(function(self, ctx) return ctx.limit == 255 end, 'not ff'),
                field('once', number(8):memoize()),
            }:extra{ double = function(self) return self.hex * 2 end, function(self, ctx) self.at_end = true end }
            export(packet)
        end)
        local b = haka.vbuffer_from('\\3ff;abc\\9\\8')
        local r, err = g.packet:parse(b:pos('begin'), nil, 'user') is(err, nil)
        is(r.hex, 255) is(r.double, 510) is(r.loud, 'ABC') is(seen, 'user') is(r.at_end, true)
        r.hex = 16 is(b:asstring(), '\\00310;abc\\9\\8') is(r.double, 32)
        r.name = 'longer' r.sum = nil is(r.sum, 9) r:validate() is(r.sum, 6)
        is(r.once, 8) b[#b] = 1 is(r.once, 8) r.once = 2 is(r.once, 2) is(b[#b], 2)
        fails('1 for field <unknown> in size: 3 expected, got 4', g.packet:parse(at('\\4')))
        fails('7 for field <unknown> in packet: not ff', g.packet:parse(at('\\3fe;ab\\1\\1')))
        is(tostring(select(2, pcall(function() r.double = 1 end))):match(\": (.*)\"), \"Result: property 'double' is read-only\")
        is(tostring(select(2, pcall(function() r.name = nil end))):match(\": (.*)\"), \"field 'name' cannot be nil: nothing computes it\")",
    );
}

#[test]
fn rules_may_be_part_of_themselves_but_not_without_end() {
    holds(
        "local g = new(function()
            define('tree')
            node = record{ field('name', token('[a-z]')), field('sub', optional(tree, function(self, ctx) return ctx:lookahead() == 40 end)) }
            tree = record{ text('('), field('nodes', array(node):whilecond(function(_, ctx) return ctx:lookahead() ~= 41 end)), text(')') }
            endless = define('endless2')
            endless2 = sequence{ endless }
            nothing = array(empty())
            export(tree, endless, nothing)
        end)
        local t = g.tree:parse(at('(a(b(c)d)e)'))
        is(t.nodes[1].name, 'a') is(t.nodes[1].sub.nodes[1].sub.nodes[1].name, 'c') is(t.nodes[2].name, 'e')
        local none, gone = g.tree:parse(at('(a(')) is(none, nil) is(tostring(gone), 'parse error at byte 3 for field name in node: token /[a-z]/ expected')
        local _, err = g.tree:parse(at(('(a'):rep(1000)))
        is(err.description, 'nested deeper than 100')
        is(select(2, g.endless:parse(at('x'))).description, 'nested deeper than 100')
        is(select(2, g.nothing:parse(at('x'))).description, 'an element of an array takes no bytes')",
    );
}

#[test]
fn what_is_created_parses_again() {
    holds(
        "local g = new(function()
            option = record{ field('kind', number(8)), field('len', number(8):validate(function(self) self.len = 2 + #self.data end)),
                field('data', bytes():count(function(self, ctx) return self.len - 2 end)) }
            packet = record{
                field('version', number(4):const(4)), field('words', number(4)),
                field('sum', number(16):validate(function(self) self.sum = 7 end)),
                field('ok', flag), padding{ align = 8 },
                field('name', token('[a-z]+')), token('%r%n'), text('!'), padding{ size = 8 },
                field('inner', record{ field('x', number(16, 'little')) }),
                field('which', branch({ a = number(8), b = number(16) }, function(self) return self.name end)),
                field('extra', optional(text('?'))),
                field('rest', bytes():count(2)),
            }
            list = record{ field('items', array(option):untilcond(function(last) return last and last.kind == 0 end)) }
            export(packet, list, option)
        end)
        local b = haka.vbuffer_from('')
        local r = g.packet:create(b:pos('begin'), nil,
            { words = 5, ok = true, name = 'b', inner = { x = 258 }, which = 3, rest = 'zz' })
        is(b:asstring(), 'E\\0\\0\\128b\\r\\n!\\0\\2\\1\\0\\3zz')
        is(r.sum, 0) r:validate() is(r.sum, 7) is(b[3], 7)
        is(g.packet:parse(b:pos('begin')).inner.x, 258)
        -- Numbers are written over what is there.
        local room = haka.vbuffer_allocate(2)
        g.option:create(room:pos('begin'), nil, { kind = 9, len = 4, data = haka.vbuffer_from('ab') })
        is(room:asstring(), '\\9\\4ab')
        is(tostring(select(2, pcall(function() g.packet:create(at(''), nil, {}) end))):match(': (.*)'),
            'create: parse error at byte 4 for field name in packet: nothing was given for token /[a-z]+/')
        local buffer = haka.vbuffer_from('\\1\\3x\\0\\2after')
        local items = g.list:parse(buffer:pos('begin')).items
        is(#items, 2)
        items:append{ kind = 5, len = 3, data = 'y' } is(buffer:asstring(), '\\1\\3x\\0\\2\\5\\3yafter')
        items:insert(1, { kind = 6, len = 2 }) is(buffer:asstring(), '\\6\\2\\1\\3x\\0\\2\\5\\3yafter')
        is(#items, 4) is(items[1].kind, 6) is(items[2].data:asstring(), 'x') is(items[4].kind, 5)
        items[4].kind = 7 items:remove(items[2]) is(buffer:asstring(), '\\6\\2\\0\\2\\7\\3yafter')
        items:remove(1) is(#items, 2) items:append{ kind = 8, len = 2 }
        is(buffer:asstring(), '\\0\\2\\7\\3y\\8\\2after')",
    );
}

#[test]
fn results_may_be_given_and_grammars_extended() {
    holds(
        "local class = require('class')
        local base = new(function() word = token('[a-z]+') SP = text(' ') export(word, SP) end)
        local Special = class.class('Special', haka.grammar.Result)
        function Special.method:both() return self.a .. self.b end
        local g = new(function()
            extend(base)
            pair = record{ field('a', word), SP, field('b', word) }
            special = pair:result(Special)
            sized = record{ field('data', bytes():count(param('size'))) }
            renamed = raw_token('\\\\d+')
            picky = record{ field('n', number(8)), execute(function(self, ctx) if self.n > 1 then ctx:error('%d is too much', self.n) end end) }
            patient = record{ field('n', number(8)), optional(picky), picky:on_error(function(self, ctx, err) self.why = err.description return true end) }
            export(pair, special, sized, renamed, picky, patient)
        end)
        local plain = {}
        is(g.pair:parse(at('x y'), plain), plain) is(plain.a, 'x') is(plain.b, 'y')
        local Thing = class.class('Thing')
        local thing = Thing:new() thing.kept = 1
        g.pair:parse(at('x y'), thing) is(thing.a, 'x') is(thing.kept, 1)
        is(g.special:parse(at('x y')):both(), 'xy') is(g.word:parse(at('abc')), 'abc')
        is(g.sized:parse(at('abcd'), nil, { size = 3 }).data:asstring(), 'abc')
        is(g.renamed:parse(at('12a')), '12') is(g.pair:parse(haka.vbuffer_from('q r')).b, 'r')
        fails('1 for field <unknown> in picky: 2 is too much', g.picky:parse(at('\\2')))
        is(g.patient:parse(at('\\1\\9')).why, '9 is too much')
        local err = select(2, g.picky:parse(at('\\2')))
        is(err.rule, 'picky') is(err.description, '2 is too much') is(err.position, 1) is(err.field, nil)",
    );
}

#[test]
fn misuse_is_named_with_its_line() {
    let in_grammar = |body: &str| format!("\nnew(function()\n{body}\nend)");
    for (body, wanted) in [
        ("x = number(0)", "number: a whole number of at least 1 expected"),
        ("x = number(8, 'odd')", "number: 'big' or 'little' expected"),
        ("x = record{ 7 }", "record: entity 1: an entity expected, got number"),
        (
            "x = record{ number(8), name = flag }",
            "record: there is nothing but a list in it, no 'name'",
        ),
        ("x = field(flag)", "field: a name expected, got table"),
        ("x = token('(')", "token /(/: unclosed group at position 1"),
        ("x = number(8):count(3)", "count: only for bytes and arrays"),
        ("x = array(number(8)):options{ cuont = 3 }", "options: unknown option 'cuont'"),
        ("x = bytes():untilcond(print)", "untilcond, whilecond: only for array"),
        ("x = branch({}, 3)", "branch: selector: a function expected, got number"),
        ("x = padding{}", "padding: either align or size expected"),
        ("local x = define('y')", "grammar 'test': 'y' is defined, but nothing is given to it"),
        ("y = define('y')", "grammar 'test': 'y' is defined, but nothing is given to it"),
        ("export(7)", "export: argument 1 is no rule of 'test'"),
        ("x = flag x.y = 1", "grammar: an entity has no fields of yours"),
        ("extend({})", "extend: a grammar expected, got table"),
    ] {
        assert_eq!(fails(&in_grammar(body)), wanted, "{body}");
    }
    assert_eq!(
        fails("local g = new(function() abc = flag export(abc) end) local x = g.abd"),
        "grammar 'test' exports no rule 'abd'; did you mean abc"
    );
    assert_eq!(
        fails("local g = new(function() abc = flag export(abc) end) g.abc:parse(7)"),
        "parse: an iterator expected, got number"
    );
    assert_eq!(
        fails("haka.grammar.new('x', 7)"),
        "haka.grammar.new: a function expected, got number"
    );
}

#[test]
fn a_result_is_printed_by_its_fields() {
    let rules = load(
        "local g = haka.grammar.new('g', function()
            item = record{ field('n', number(8)) }
            all = record{ field('_size', number(8)), field('items', array(item):count(2)), field('rest', bytes()) }
            export(all)
        end)
        local r = g.all:parse(haka.vbuffer_from('abcd'):pos('begin'))
        debug.pprint(r) debug.pprint(r, nil, nil, { debug.hide_underscore, debug.hide_function })",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let text: Vec<_> = rules.messages().iter().map(|log| log.message.as_str()).collect();
    let items = "  items : class: ArrayResult {\n    1 : class: Result {\n      n : 98\n    }\n    \
                 2 : class: Result {\n      n : 99\n    }\n  }\n  rest : \"d\"\n}";
    assert_eq!(
        text,
        [format!("class: Result {{\n  _size : 97\n{items}"), format!("class: Result {{\n{items}")]
    );
}

#[test]
fn a_record_without_a_name_gives_its_fields_to_the_one_around() {
    holds(
        "local g = new(function()
            line = record{ field('verb', token('[a-z]+')), optional(record{ text(' '), field('what', token('[^%r%n]*')) },
                function(self, ctx) return ctx:lookahead() == 32 end) }
            message = record{ line, token('%r%n'), branch({
                get = record{ record{ field('n', number(8)) }, field('own', record{ field('z', number(8)) }) },
                put = field('body', record{ field('m', number(8)) }),
            }, function(self) return self.verb end) }
            list = record{ field('all', array(record{ field('x', number(8)) }):count(2)) }
            export(message, list)
        end)
        local text = haka.vbuffer_from('get it\\r\\n\\1\\2')
        local r = g.message:parse(text:pos('begin'))
        is(r.verb, 'get') is(r.what, 'it') is(r.n, 1) is(r.own.z, 2) is(r.z, nil)
        -- They are written where they lie.
        r.what, r.n = 'that', 7
        is(text:asstring(), 'get that\\r\\n\\7\\2')
        local put = g.message:parse(at('put\\r\\n\\3'))
        is(put.what, nil) is(put.body.m, 3) is(put.m, nil)
        -- Elements keep theirs.
        local list = g.list:parse(at('\\1\\2'))
        is(list.x, nil) is(list.all[1].x, 1) is(list.all[2].x, 2)
        local made = haka.vbuffer_from('')
        g.message:create(made:pos('begin'), nil, { verb = 'get', n = 9, own = { z = 8 } })
        is(made:asstring():sub(1, 3), 'get')",
    );
}
