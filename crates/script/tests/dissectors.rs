//! Classes, dissectors of a script's own, and their events.
mod common;

use common::wire::Wire;
use common::{Scene, load};
use tollgate_policy::{Interest, Policy as _, Verdict};
use tollgate_wire::Direction::ToClient;

const CHAT: &str = "
    local class = require('class')
    local Chat = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'chat' }
    Chat:register_event('message')
    function Chat.method:__init(flow)
        class.super(Chat).__init(self, flow)
        self.count = 0
    end
    function Chat.method:receive_streamed(iter, direction)
        while true do
            local size = iter:sub(1)
            if not size then return end
            local message = iter:sub(size:asnumber())
            self.count = self.count + 1
            if not message or not self:trigger('message', message, direction) then return end
        end
    end
    Chat:install_tcp_rule(80)
    haka.rule{ hook = Chat.events.message, eval = function(chat, message, direction)
        print(chat.name, chat.count, direction, message:asstring(), chat.flow.dstport, chat.connection.id)
        if message:asstring() == 'bye' then chat:reset() end
        if message:asstring() == 'swap' then message:replace(haka.vbuffer_from('SWAP')) end
    end }";

#[test]
fn a_dissector_follows_its_connections_and_raises_events() {
    let mut scene = Scene::new(CHAT);
    assert_eq!(
        scene.policy.interest(),
        Interest::EVENTS.difference(Interest::RECEIVE_PACKET) | Interest::EDIT_DATA
    );
    assert_eq!(scene.open(), Verdict::Accept);
    assert_eq!(scene.data(&[b"\x05hel"], false), Verdict::Accept);
    assert_eq!(scene.data_in(ToClient, &[b"\x02ok"], false), Verdict::Accept);
    assert_eq!(scene.data(&[b"lo\x03bye\x03not"], false), Verdict::Reset);
    assert_eq!(
        scene.said(),
        [
            "debug tcp: selecting chat dissector on flow",
            "chat\t1\tdown\tok\t80\t1",
            "chat\t2\tup\thello\t80\t1",
            "chat\t3\tup\tbye\t80\t1",
        ]
    );
    let mut other = Scene::new(CHAT).between("198.18.0.1:1", "198.18.0.2:81");
    other.open();
    other.data(&[b"\x05hello"], false);
    assert_eq!(other.said(), [""; 0]);
}

#[test]
fn what_a_dissector_changes_reaches_the_receiver() {
    let mut wire = Wire::new(CHAT);
    wire.scene.open();
    wire.push(b"\x04sw", false);
    wire.got("\x04");
    wire.push(b"ap\x01x", true);
    wire.got("\x04SWAP\x01x");
}

#[test]
fn a_dissector_sees_what_rules_have_changed() {
    let mut scene = Scene::new(&format!(
        "haka.rule{{ hook = tcp_connection.events.receive_data, eval = function(flow, current)
            current:pos('begin'):insert(haka.vbuffer_from('\\1')) end }}\n{CHAT}"
    ));
    scene.open();
    scene.data(&[b"x"], false);
    assert_eq!(scene.said()[1], "chat\t1\tup\tx\t80\t1");
}

#[test]
fn receive_may_be_written_instead_and_a_rule_may_choose() {
    let mut scene = Scene::new(
        "local Raw = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'raw' }
        function Raw.method:receive(stream, current, direction)
            print(direction, current and current:asstring())
            self.flow:send(direction)
        end
        haka.rule{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)
            Raw:dissect(flow) end }",
    );
    scene.open();
    scene.data(&[b"ab"], false);
    scene.data(&[], true);
    assert_eq!(scene.said()[1..], ["up\tab", "up\tnil"]);
}

#[test]
fn a_dissector_without_anything_to_do_says_so() {
    let mut scene = Scene::new(
        "local Raw = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'raw' }
        Raw:install_udp_rule(80)",
    );
    scene.open();
    assert_eq!(scene.data(&[b"ab"], false), Verdict::Drop);
    assert_eq!(
        scene.said()[1],
        "error tcp: raw: neither the method receive_streamed nor a state machine is defined: a method is a function Class.method:receive_streamed(iter, direction)"
    );
}

#[test]
fn classes_inherit_methods_properties_and_operators() {
    load(
        "local class = require('class')
        local A = class.class('A')
        function A.method:__init(n) self.n = n end
        function A.method:double() return self.n * 2 end
        function A.method:__tostring() return 'A' .. self.n end
        A.property.half = {
            get = function(self) return self.n / 2 end, set = function(self, v) self.n = v * 2 end,
        }
        A.shared = 7
        local B = class.class('B', A)
        function B.method:__init(n)
            class.super(B).__init(self, n + 1)
        end
        function B.method:double() return class.super(B).double(self) + 100 end
        local a, b = A:new(3), B(3)
        assert(a:double() == 6 and b:double() == 108 and b.n == 4 and B.shared == 7)
        assert(tostring(a) == 'A3' and tostring(b) == 'A4' and tostring(B) == 'class: B')
        assert(a.half == 1.5) a.half = 5 assert(a.n == 10) a.other = 1 assert(a.other == 1)
        assert(a.nothing == nil)
        assert(class.classof(b) == B and class.super(B) == A and class.isa(b, A) and not class.isa(a, B))
        assert(class.isclass(A) and not class.isclass(a) and class.classof(7) == nil)
        local names = {}
        for each in class.ancestors(B) do names[#names + 1] = each.name end
        assert(table.concat(names, ' ') == 'B A')",
    )
    .unwrap_or_else(|error| unreachable!("{error}"));
}

#[test]
fn an_event_of_a_dissector_may_be_streamed() {
    // Records: a length, and so much of a body, which may come in any portions.
    let mut wire = Wire::new(
        "local Body = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'body' }
        Body:register_streamed_event('content')
        function Body.method:receive_streamed(iter, direction)
            while iter:wait() do
                local left = iter:sub(1)[1]
                while left > 0 and iter:wait() do
                    local part = iter:sub(math.min(left, iter:available()))
                    left = left - #part
                    if not self:trigger('content', part, direction) then return end
                end
                self:trigger('content', nil, direction)
            end
        end
        Body:install_tcp_rule(80)
        haka.rule{ hook = Body.events.content, eval = function(body, part, direction)
            print('plain', direction, part:asstring()) end }
        haka.rule{ hook = Body.events.content, options = { streamed = true },
            eval = function(body, iter, direction)
                local head = iter:sub(3)
                head:replace(haka.vbuffer_from('<' .. head:asstring() .. '>'))
                local rest = iter:sub('all')
                print(direction, head:asstring(), rest and rest:asstring(), iter.iseof, iter:wait())
            end }",
    );
    wire.scene.open();
    wire.scene.said();
    wire.push(b"\x05ab", false);
    assert_eq!(wire.said(), ["plain\tup\tab"]);
    wire.got("\x05");
    wire.push(b"cde\x03xyz\x06", false);
    assert_eq!(
        wire.said(),
        [
            "plain\tup\tcde",
            "up\t<abc>\tde\ttrue\tfalse",
            "plain\tup\txyz",
            "up\t<xyz>\tnil\ttrue\tfalse"
        ]
    );
    wire.got("\x05<abc>de\x03<xyz>\x06");
}

#[test]
fn an_event_goes_on_as_long_as_its_own_function_says() {
    let mut scene = Scene::new(
        "local D = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'd' }
        D:register_event('word', function(self, word) print('asked', word, self:continue()) return word ~= 'stop' end)
        function D.method:receive_streamed(iter)
            while iter:wait() do print(self:trigger('word', iter:sub('available'):asstring())) end
        end
        D:install_tcp_rule(80)
        for i = 1, 2 do
            haka.rule{ hook = D.events.word, eval = function(d, word) print(i, word) end }
        end",
    );
    scene.open();
    scene.data(&[b"go"], false);
    scene.data(&[b"stop"], false);
    let said = scene.said().split_off(1);
    assert_eq!(
        said,
        [
            "1\tgo",
            "asked\tgo\ttrue",
            "2\tgo",
            "asked\tgo\ttrue",
            "true",
            "1\tstop",
            "asked\tstop\ttrue",
            "false"
        ]
    );
}

#[test]
fn a_receive_of_ones_own_may_run_a_method_over_the_stream() {
    let mut scene = Scene::new(
        "local D = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'd' }
        function D.method:lines(iter, direction)
            while true do
                local line = iter:sub(3)
                if not line then return print(direction, 'ends') end
                print(direction, self.name, line:asstring())
            end
        end
        function D.method:receive(stream, current, direction)
            print('receive', current and #current)
            self:streamed(self.lines, stream, current, direction)
            if self.flow then self.flow:send(direction) end
        end
        D:install_tcp_rule(80)",
    );
    scene.open();
    for (piece, end) in [(&b"ab"[..], false), (b"cde", false), (b"f", true)] {
        scene.data(&[piece], end);
    }
    let said = scene.said().split_off(1);
    assert_eq!(
        said,
        ["receive\t2", "receive\t3", "up\td\tabc", "receive\t1", "up\td\tdef", "up\tends"]
    );
}
