//! Searching by patterns: what ours counts and what the interpreter does must be the same.
#![expect(clippy::unwrap_used, reason = "tests: a panic is how they fail")]
mod common;

use common::Scene;
use mlua::{Lua, LuaString};
use proptest::prelude::*;
use tollgate_script::{Limits, Settings};

/// The interpreter's own functions; every answer as one line of text, errors without their place.
fn oracle() -> Lua {
    let lua = Lua::new();
    lua.load(SAY).exec().unwrap();
    lua
}

/// What both sides are asked: `say(name, …)` calls `string[name]`, and gives the answer as text.
const SAY: &str = "
function say(name, ...)
    local function line(ok, ...)
        if not ok then return 'error' end
        local parts = {}
        for i = 1, select('#', ...) do parts[i] = tostring((select(i, ...))) end
        return table.concat(parts, '|')
    end
    if name == 'gmatch' then
        local all = {}
        local ok = pcall(function(value, pattern)
            for a, b, c in string.gmatch(value, pattern) do
                all[#all + 1] = tostring(a) .. ',' .. tostring(b) .. ',' .. tostring(c)
                if #all > 50 then break end
            end
        end, ...)
        return ok and table.concat(all, '|') or 'error'
    end
    return line(pcall(string[name], ...))
end
";

/// What ours says to each call: a script that makes them.
fn scene(calls: &[String]) -> Vec<String> {
    let body: String = calls.iter().map(|call| format!("print({call})\n")).collect();
    let text = format!(
        "{SAY}\nhaka.rule{{ hook = tcp_connection.events.new_connection, eval = function()\n{body}end }}"
    );
    let limits = Limits { instructions_max: 2_000_000, ..Limits::default() };
    let mut scene = Scene::with(&text, Settings { limits, ..Settings::default() });
    scene.open();
    scene.said()
}

fn quoted(bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:03}")).collect();
    format!("\"{escaped}\"")
}

/// A pattern of good and bad pieces, and whether it may be malformed: ours says so at once, the
/// interpreter when it gets there.
fn pattern() -> impl Strategy<Value = (String, bool)> {
    let piece = prop_oneof![
        6 => proptest::sample::select(vec!["a", "b", "c", ".", "%a", "%d", "%s", "%A", "[ab]", "[^a]", "[a-c%d]", "[]a]", "[%]b-]", "%.", "-", "[a-]"]),
        3 => proptest::sample::select(vec!["a*", "b+", ".-", "c?", "[ab]*", "%a+", "%w-", ".*"]),
        2 => proptest::sample::select(vec!["(a)", "(.-)", "()", "(%a+)", "((a)b)", "(b*)"]),
        1 => proptest::sample::select(vec!["%1", "%b()", "%bab", "%f[%a]", "%f[^b]", "$", "^", "%2"]),
        1 => proptest::sample::select(vec!["[", "%", "(", ")", "%f", "%b", "[a", "*", "+"]),
    ];
    (any::<bool>(), proptest::collection::vec(piece, 0..6)).prop_map(|(anchored, pieces)| {
        let may_be_bad = ["%1", "%2", "[", "%", "(", ")", "%f", "%b", "[a"];
        let bad = pieces.iter().any(|piece| may_be_bad.contains(piece));
        (format!("{}{}", if anchored { "^" } else { "" }, pieces.concat()), bad)
    })
}

fn subject() -> impl Strategy<Value = Vec<u8>> {
    let byte = proptest::sample::select(b"aaabbbcc()  12-].\0\xe4".to_vec());
    proptest::collection::vec(byte, 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]
    /// The same answers as the interpreter's own functions, whoever gives them: the text is short as it
    /// is, and long with what cannot match behind it.
    #[test]
    fn ours_answers_as_the_interpreter_does(
        (pattern, bad) in pattern(),
        subject in subject(),
        init in proptest::option::of(-16_i32..18),
        with in proptest::sample::select(vec!["'x'", "'<%0>'", "'%1%%'", "'%2'", "{ a = 'A', ab = 7 }",
            "function(a, b) return b and (a .. b) or nil end", "7"]),
    ) {
        let lua = oracle();
        let (pattern, init) = (quoted(pattern.as_bytes()), init.map_or_else(|| "nil".into(), |init| init.to_string()));
        for pad in [0, 150] {
            let mut text = subject.clone();
            text.extend(std::iter::repeat_n(b'~', pad));
            let text = quoted(&text);
            let calls = [
                format!("say('find', {text}, {pattern}, {init})"),
                format!("say('find', {text}, {pattern}, {init}, true)"),
                format!("say('match', {text}, {pattern}, {init})"),
                format!("say('gmatch', {text}, {pattern})"),
                format!("say('gsub', {text}, {pattern}, {with})"),
                format!("say('gsub', {text}, {pattern}, {with}, 2)"),
            ];
            let ours = scene(&calls);
            for (call, ours) in calls.iter().zip(ours) {
                if bad && ours == "error" {
                    continue;
                }
                // It was given up, and the calls behind it with it. The interpreter would take minutes.
                if ours.contains("a rule ran for more than") {
                    break;
                }
                let theirs: LuaString = lua.load(format!("return {call}")).eval().unwrap();
                prop_assert_eq!(&ours, &theirs.to_string_lossy(), "{}", call);
            }
        }
    }
}
