//! `haka.state_machine`: states, transitions, timeouts, and the dissectors that have one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{Scene, load};
use tollgate_policy::{Interest, Policy as _, Verdict};
use tollgate_wire::Direction::ToClient;
use tollgate_wire::Timestamp;

/// Runs `body` at load, with `said` collecting what `say` is told.
#[track_caller]
fn holds(body: &str) {
    let helpers = "local said = {} local function say(what) said[#said + 1] = tostring(what) end
        local function is(a, b) if a ~= b then error(('%q is not %q'):format(tostring(a), tostring(b)), 2) end end
        local function heard(wanted) is(table.concat(said, ' '), wanted) said = {} end";
    if let Err(error) = load(&format!("{}\n{body}", helpers.replace('\n', " "))) {
        panic!("{error}");
    }
}

#[track_caller]
fn fails(body: &str) -> String {
    let text = format!("local m = haka.state_machine.new('m', function() {body} end)");
    let error = load(&text).map(|_| ()).unwrap_err().to_string();
    error.lines().next().unwrap_or_default().split(": ").skip(1).collect::<Vec<_>>().join(": ")
}

#[test]
fn transitions_ask_act_and_jump() {
    holds(
        "local class = require('class')
        local Traffic = class.class('Traffic', haka.state_machine.State)
        function Traffic.method:__init(colour) self.colour = colour end
        function Traffic.method:update(instance, what) return instance:trigger(what, self.colour) end
        local m = haka.state_machine.new('lights', function()
            state_type(Traffic)
            green = state('g') red = state('r')
            green:on{ event = events.change, when = function(self, colour) return self.ready end,
                execute = function(self, colour) say('to red from ' .. colour) end, jump = red }
            green:on{ event = events.change, execute = function(self) say('not yet') self.ready = true end }
            red:on{ event = events.enter, execute = function(self) say('red') end }
            green:on{ event = events.leave, execute = function(self) say('bye green') end }
            red:on{ event = events.change, jump = finish }
            red:on{ event = events.broken, jump = fail }
            any:on{ event = events.change, execute = function() say('never') end }
            any:on{ event = events.init, execute = function(self) say('init ' .. self.name) end }
            any:on{ event = events.enter, execute = function() say('enter') end }
            any:on{ event = events.fail, execute = function() say('failed') end }
            any:on{ event = events.finish, execute = function() say('over') end }
            any:on{ event = events.other, execute = function(_, a, b) say(a + b) end }
            initial(green)
        end)
        is(tostring(m), 'state machine: lights')
        local owner = { name = 'o' }
        local i = m:instanciate(owner)
        is(i.current, 'green') is(i.owner, owner) heard('init o enter')
        i:update('change') heard('not yet') is(i.current, 'green')
        i:update('change') heard('to red from g bye green red') is(i.current, 'red')
        is(i:trigger('other', 1, 2), true) heard('3') is(i:trigger('unheard'), false)
        i:update('change') heard('over') is(i.current, 'finish') is(i.finished, true)
        is(tostring(select(2, pcall(i.update, i, 'change'))):match(': (.*)'), \"lights: state 'finish' has finished\")
        local j = m:instanciate({ name = 'p', ready = true }) j:update('change') said = {}
        j:trigger('broken') heard('failed over') is(j.current, 'fail')
        local k = m:instanciate({ name = 'q' }) k:jump('red') is(k.current, 'red') k:finish() k:finish() is(k.finished, true)",
    );
}

#[test]
fn bidirectional_states_parse_and_tell() {
    holds(
        "local g = haka.grammar.new('g', function()
            hello = record{ text('HI '), field('name', token('[a-z]+')), text('.') }
            answer = record{ field('code', number(8)), execute(function(self, ctx) say(ctx.user.id) end) }
            export(hello, answer)
        end)
        local m = haka.state_machine.new('chat', function()
            state_type(BidirectionalState)
            waiting = state(g.hello, nil)
            talking = state(g.hello, g.answer)
            waiting:on{ event = events.up, execute = function(self, res, extra) say(res.name .. tostring(extra)) end, jump = talking }
            talking:on{ event = events.down, when = function(self, res) return res.code == 1 end, execute = function() say('one') end }
            any:on{ event = events.missing_grammar, execute = function(self, direction, iter) say('none ' .. direction .. iter:available()) end }
            talking:on{ event = events.parse_error, execute = function(self, err) say(err.rule) say(err.field) end, jump = fail }
            initial(waiting)
        end)
        local i = m:instanciate({ id = 7 })
        i:update(haka.vbuffer_from('xyz'):pos('begin'), 'down') heard('none down3')
        i:update(haka.vbuffer_from('HI bob.'):pos('begin'), 'up', '!') heard('bob!') is(i.current, 'talking')
        i:update(haka.vbuffer_from('\\2'):pos('begin'), 'down') heard('7')
        i:update(haka.vbuffer_from('\\1'):pos('begin'), 'down') heard('7 one')
        i:update(haka.vbuffer_from('HI 7'):pos('begin'), 'up') heard('hello name') is(i.current, 'fail')
        -- An error nobody hears of ends it too.
        i = m:instanciate({}) i:update(haka.vbuffer_from('?'):pos('begin'), 'up') is(i.current, 'fail')",
    );
}

#[test]
fn misuse_of_a_description_is_named() {
    let body = |text: &str| format!("s = state() {text}");
    for (text, wanted) in [
        (body(""), "state machine 'm' has no initial state"),
        (
            body("s:on{ jump = s }"),
            "state machine 'm': state 's': on: event must be one of events, got nil",
        ),
        (
            body("s:on{ event = events.entr, jump = s }"),
            "state machine 'm': unknown event 'entr'; did you mean enter",
        ),
        (
            body("s:on{ event = events.enter }"),
            "state machine 'm': state 's': on: neither execute nor jump is there",
        ),
        (
            body("s:on{ event = events.enter, jump = 7 }"),
            "state machine 'm': state 's': on: jump must be a state, got number",
        ),
        (
            body("s:on{ event = events.enter, exec = print }"),
            "state machine 'm': state 's': on: unknown key 'exec'",
        ),
        (
            body("s:on{ event = events.timeout(0), jump = s }"),
            "timeout: a number of seconds expected",
        ),
        (
            body("initial(s) state_type(7)"),
            "state_type: a class of haka.state_machine.State expected",
        ),
        (
            "state_type(BidirectionalState) s = state(7)".into(),
            "state: a rule of a grammar expected for 'up', got number",
        ),
    ] {
        assert_eq!(fails(&text), wanted, "{text}");
    }
    holds(
        "local m = haka.state_machine.new('m', function() a = state() b = state()
            a:on{ event = events.enter, jump = b } b:on{ event = events.enter, jump = a } initial(a) end)
        is(tostring(select(2, pcall(m.instanciate, m, {}))):match(\"jumps without end\"), 'jumps without end')",
    );
}

const ECHO: &str = "
    local g = haka.grammar.new('echo', function()
        line = record{ field('text', token('[^%n]*')), token('%n') }
        export(line)
    end)
    local Echo = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = 'echo' }
    Echo:register_event('said')
    Echo.state_machine = haka.state_machine.new('echo', function()
        state_type(BidirectionalState)
        asking = state(g.line, nil)
        answering = state(nil, g.line)
        asking:on{ event = events.up, execute = function(self, res) self:trigger('said', 'up', res) end, jump = answering }
        answering:on{ event = events.down, execute = function(self, res) self:trigger('said', 'down', res) end, jump = asking }
        answering:on{ event = events.timeout(10), execute = function(self)
            print('no answer', self.flow.srcport) self:drop() end, jump = fail }
        any:on{ event = events.missing_grammar, execute = function(self, direction)
            haka.alert{ description = 'out of turn: ' .. direction } end, jump = fail }
        any:on{ event = events.fail, execute = function(self) self:drop() end }
        initial(asking)
    end)
    Echo:install_tcp_rule(80)
    haka.rule{ hook = Echo.events.said, eval = function(echo, direction, line)
        print(direction, line.text, echo.state.current) if line.text == 'a' then line.text = 'AA' end end }";

#[test]
fn a_dissector_with_a_state_machine_follows_both_directions() {
    let mut scene = Scene::new(ECHO);
    scene.open();
    scene.said();
    scene.data(&[b"hel", b"lo\n"], false);
    scene.data_in(ToClient, &[b"wor", b"ld\n"], false);
    assert_eq!(scene.said(), ["up\thello\tasking", "down\tworld\tanswering"]);
    assert_eq!(scene.data(&[b"one\ntwo\n"], false), Verdict::Drop);
    assert_eq!(scene.said(), ["up\tone\tasking", "alert 1: out of turn: up"]);
}

#[test]
fn a_line_that_an_event_changes_reaches_the_receiver() {
    let mut wire = common::wire::Wire::new(ECHO);
    wire.scene.open();
    wire.push(b"a", false);
    wire.got("");
    assert_eq!(wire.push(b"\n", false), Verdict::Accept, "{:?}", wire.said());
    wire.got("AA\n");
}

#[test]
fn a_timeout_ends_a_connection_with_its_next_event() {
    let mut scene = Scene::new(ECHO);
    scene.open();
    scene.data(&[b"hello\n"], false);
    let (tag, offsets) = (scene.tag, scene.offsets);
    scene.next();
    scene.client.port = 2;
    scene.now = Timestamp::from_secs(16);
    scene.open();
    scene.now = Timestamp::from_secs(17);
    scene.said();
    // Another connection's event lets time pass, and is not harmed by it.
    assert_eq!(scene.data(&[b"x\n"], false), Verdict::Accept);
    assert_eq!(scene.said(), ["no answer\t40000", "up\tx\tasking"]);
    (scene.tag, scene.offsets, scene.id, scene.client.port) = (tag, offsets, 1, 40000);
    assert_eq!(scene.data_in(ToClient, &[b"late\n"], false), Verdict::Drop);
    assert_eq!(scene.said(), [""; 0]);
}

#[test]
fn a_timeout_comes_with_the_tick_where_nothing_else_happens() {
    let mut scene = Scene::new(ECHO);
    assert!(scene.policy.interest().contains(Interest::TICK));
    scene.open();
    scene.data(&[b"hello\n"], false);
    scene.said();
    scene.policy.tick(Timestamp::from_secs(16), &mut scene.reports);
    assert_eq!(scene.said(), [""; 0]);
    scene.policy.tick(Timestamp::from_secs(18), &mut scene.reports);
    assert_eq!(scene.said(), ["no answer\t40000"]);
    assert_eq!(scene.data_in(ToClient, &[b"late\n"], false), Verdict::Drop);
}

#[test]
fn an_answer_in_time_stops_the_clock() {
    let mut scene = Scene::new(ECHO);
    scene.open();
    for second in [7, 16, 25, 34] {
        scene.now = Timestamp::from_secs(second);
        assert_eq!(scene.data(&[b"q\n"], false), Verdict::Accept);
        scene.now = Timestamp::from_secs(second + 9);
        assert_eq!(scene.data_in(ToClient, &[b"a\n"], false), Verdict::Accept);
    }
    scene.now = Timestamp::from_secs(1000);
    assert_eq!(scene.data(&[b"q\n"], false), Verdict::Accept);
    assert_eq!(scene.said().len(), 10);
}

#[test]
fn a_failing_timeout_is_told_and_ends_its_own_connection() {
    let text = ECHO.replace("print('no answer', self.flow.srcport) self:drop()", "error('oops')");
    let mut scene = Scene::new(&text);
    scene.open();
    scene.data(&[b"hello\n"], false);
    let (tag, offsets) = (scene.tag, scene.offsets);
    scene.next();
    scene.client.port = 2;
    scene.now = Timestamp::from_secs(60);
    scene.said();
    assert_eq!(scene.open(), Verdict::Accept);
    assert_eq!(
        scene.said()[0],
        "error state_machine: echo: state 'answering': timeout: test.lua:15: oops"
    );
    (scene.tag, scene.offsets, scene.id, scene.client.port) = (tag, offsets, 1, 40000);
    assert_eq!(scene.data_in(ToClient, &[b"late\n"], false), Verdict::Drop);
}

#[test]
fn who_leaves_when_it_begins_enters_once() {
    holds(
        "local m = haka.state_machine.new('m', function()
            start = state() other = state()
            start:on{ event = events.init, jump = other }
            start:on{ event = events.leave, execute = function() say('leave') end }
            other:on{ event = events.enter, execute = function() say('enter') end }
            initial(start)
        end)
        is(m:instanciate{}.current, 'other') heard('leave enter')",
    );
}
