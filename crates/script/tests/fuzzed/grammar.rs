//! A stream under a grammar that has every entity, cut by its first byte: every cut is read as the whole is, what nobody
//! changes leaves as it came, and what is written has the same effect however it arrived.
use std::cell::RefCell;

use tollgate_wire::Direction::ToServer;

use crate::common::Scene;
use crate::common::pair::Pair;

const GRAMMAR: &str = "
    local g = haka.grammar.new('all', function()
        CRLF = token('%r?%n')
        define('nested')
        item = record{
            field('kind', number(4)), field('is', flag), padding{ size = 3 },
            field('size', number(8):convert(converter.mult(2))),
            branch({
                few = field('data', bytes():count(function(self) return self.size end)),
                line = record{ field('text', bytes():untiltoken('%r?%n')), CRLF },
                word = field('word', token('[a-z]+')),
                numbers = field('numbers', array(number(16, 'little')):count(function(self) return self.size % 5 end)),
                either = try{
                    record{ field('x', number(16):const(0x4142)) },
                    record{ field('y', number(8)), field('z', optional(text('zz'))) },
                },
                both = union{ record{ field('all', number(16)) }, record{ field('first', number(8)) } },
                deeper = field('inner', nested),
                default = 'continue',
            }, function(self)
                return ({ 'few', 'line', 'word', 'numbers', 'either', 'both', 'deeper', 'bad' })[self.kind]
            end),
            padding{ align = 8 },
        }
        nested = record{ field('list', array(item):untilcond(function(last) return last and not last.is end)) }
        message = record{
            field('version', number(8):const(1)), verify(function(self) return self.version == 1 end, 'version'),
            field('items', array(item):whilecond(function(last, ctx) return ctx:lookahead() ~= 0 end)),
            field('end', number(8)),
        }
        export(message)
    end)
    local function show(value, depth)
        if type(value) ~= 'table' then return tostring(value) end
        if depth > 5 then return 'deeper' end
        if value.asstring then return value:asstring() end
        local parts = {}
        for name, each in pairs(value) do parts[#parts + 1] = tostring(name) .. '=' .. show(each, depth + 1) end
        return '{' .. table.concat(parts, ' ') .. '}'
    end
    local D = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'd' }
    function D.method:receive_streamed(iter, direction)
        while iter:wait() do
            local m, err = g.message:parse(iter)
            if err then print(err) return end
            print(show(m, 0))
            if WRITE then
                m['end'] = 7
                for _, item in ipairs(m.items) do
                    if item.data then item.data = 'longer than it was' end
                    if item.word then item.word = 'w' end
                end
                if m.items[1] then m.items:remove(1) end
            end
        end
    end
    D:install_tcp_rule(80)";

thread_local! {
    static SCENES: RefCell<Option<[Scene; 2]>> =
        RefCell::new(Some([Scene::new(GRAMMAR), Scene::new(&format!("WRITE = true {GRAMMAR}"))]));
}

pub(crate) fn run(bytes: &[u8]) {
    let [len, bytes @ ..] = bytes else { return };
    SCENES.with_borrow_mut(|scenes| {
        let [look, write] = scenes.take().unwrap();
        let (look, said, out) = parse(look, bytes, usize::MAX);
        assert_eq!(out, String::from_utf8_lossy(bytes));
        let (look, cut, out) = parse(look, bytes, usize::from(*len) + 1);
        assert_eq!(cut, said);
        assert_eq!(out, String::from_utf8_lossy(bytes));
        let (write, said, out) = parse(write, bytes, usize::MAX);
        let (write, cut, other) = parse(write, bytes, usize::from(*len) + 1);
        assert_eq!((cut, other), (said, out));
        *scenes = Some([look, write]);
    });
}

fn parse(mut scene: Scene, bytes: &[u8], step: usize) -> (Scene, Vec<String>, String) {
    scene.next();
    scene.open();
    scene.said();
    let mut pair = Pair::of(scene);
    for piece in bytes.chunks(step) {
        pair.push(ToServer, piece, false);
    }
    pair.end(ToServer);
    pair.scene.end();
    let said = pair.said();
    assert!(!said.iter().any(|line| line.starts_with("error ")), "{said:?}");
    let out = pair.out(ToServer);
    (pair.scene, said, out)
}
