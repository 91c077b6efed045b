//! Streamed rules that sleep in a search are woken only by what they would act upon, and never know.
mod common;

use common::Scene;
use common::wire::Wire;
use proptest::prelude::*;
use tollgate_script::RuleErrors;
use tollgate_wire::Direction;

/// Of a second rule the first knows nothing, but beside it, it never sleeps.
const SLEEPLESS: &str =
    "haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
    eval = function(flow, iter) for part in iter:foreach_available() do end end }";

const PATTERNS: [&str; 8] =
    ["[a-z]+@[a-z]+%.b", "ab", "a+b?", "%bab%b", "(a|ab)(c|bcd)?", "@$", "^a.*@", "b@a"];

/// What the rule does with the search.
const BODIES: [&str; 6] = [
    "while re:match(iter) do print('m', iter.meter) end",
    "while true do local m = re:match(iter, true) if not m then break end print(m, iter.meter) end",
    "while true do local m = re:match(iter, true) if not m then break end m:replace(haka.vbuffer_from('[x]')) end",
    "while true do local m = re:match(iter, true, true) if not m then break end print(m, iter.meter) end",
    "while true do local s = iter:sub(2) if not s then break end print(s) if not re:match(iter) then break end end",
    "if re:match(iter) then iter:insert(haka.vbuffer_from('!')) print(re:match(iter, true)) end",
];

fn script(pattern: &str, body: &str) -> String {
    format!(
        "local re = require('regexp/pcre').re:compile([[{pattern}]])
        haka.rule{{ hook = tcp_connection.events.receive_data, options = {{ streamed = true, edits = true }},
        eval = function(flow, iter, direction) {body} print('end', iter.meter, iter.iseof) end }}\n"
    )
}

/// Whatever can be seen from outside: after each piece what was said, has left and waits.
fn seen(text: &str, pieces: &[(String, u8)]) -> (Vec<String>, RuleErrors) {
    let mut wire = Wire::new(text);
    let mut seen = Vec::new();
    for (piece, gap) in pieces {
        if *gap == 0 {
            wire.pass_unseen(3);
        }
        let verdict = wire.push(piece.as_bytes(), false);
        seen.push(format!("{verdict:?} {:?} {:?} {:?}", wire.said(), wire.out, wire.held()));
    }
    let verdict = wire.push(b"", true);
    seen.push(format!("{verdict:?} {:?} {:?}", wire.said(), wire.out));
    (seen, wire.scene.policy.rule_errors())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn who_sleeps_says_and_does_what_who_is_woken_does(
        pattern in prop::sample::select(PATTERNS.to_vec()),
        body in prop::sample::select(BODIES.to_vec()),
        pieces in prop::collection::vec(("[ab@. \\n]{1,12}", 0..12_u8), 1..12),
    ) {
        let text = script(pattern, body);
        let sleepless = text.clone() + SLEEPLESS;
        prop_assert_eq!(seen(&text, &pieces), seen(&sleepless, &pieces));
    }
}

#[test]
fn lua_is_not_entered_where_nothing_is_found() {
    for body in [BODIES[0], BODIES[1]] {
        let mut scene = Scene::new(&script("[a-z]+@[a-z]+%.b", body));
        scene.data(&[b"nothing, nothing "], false);
        let used = scene.policy.used_memory_bytes();
        for _ in 0..1000 {
            scene.data(&[b"and ", b"nothing ", b"again "], false);
        }
        assert_eq!(scene.policy.used_memory_bytes(), used, "{body}");
        scene.data(&[b"a@b", b"c.bd"], false);
        scene.data_in(Direction::ToClient, &[b"x@y.b"], false);
        let said = scene.said();
        let at = 17 + 1000 * 18 + 6;
        let wanted = if body == BODIES[0] { format!("m\t{at}") } else { format!("a@bc.b\t{at}") };
        assert_eq!(said.first(), Some(&wanted));
        // Each direction counts for itself.
        assert_eq!(said.len(), 2, "{said:?}");
        scene.end();
        scene.next();
        scene.data(&[b"another connection begins anew: a@b.b"], false);
        assert_eq!(scene.said().len(), 1);
    }
}

#[test]
fn a_dissector_that_is_chosen_late_wakes_the_rule() {
    let text = script("ab@", BODIES[0])
        + "haka.rule{ hook = tcp_connection.events.receive_packet, eval = function(flow, pkt)
            if flow.late then flow:select_next_dissector({ receive = function(self, stream, current) print(current) end }) end
            flow.late = true end }";
    let mut scene = Scene::new(&text);
    for piece in [&b"one"[..], b"two", b"a", b"b@"] {
        scene.packet(Direction::ToServer, piece);
        scene.data(&[piece], false);
    }
    assert_eq!(scene.said(), ["two", "a", "m\t9", "b@"]);
}
