//! What stands around the events: modules, started and exiting, pprint.
mod common;

use std::path::Path;

use common::{Scene, load};
use tollgate_policy::{Policy as _, Reports};
use tollgate_script::Rules;
use tollgate_wire::Timestamp;

fn messages(text: &str) -> Vec<String> {
    let rules = load(text).unwrap_or_else(|error| unreachable!("{error}"));
    rules.messages().iter().map(|log| log.message.clone()).collect()
}

#[test]
fn started_comes_after_loading_and_exiting_at_the_end() {
    let text = "haka.rule{ hook = haka.events.started, eval = function() print('started') end }
        haka.rule{ hook = haka.events.exiting, eval = function() print('one') error('no') end }
        haka.rule{ hook = haka.events.exiting, eval = function() print('two') end }
        print('loaded')";
    assert_eq!(messages(text), ["loaded", "started"]);
    let mut scene = Scene::new(text);
    let mut reports = Reports::new(10);
    scene.policy.exiting(Timestamp::from_secs(9), &mut reports);
    scene.reports = reports;
    let said = scene.said();
    assert_eq!((said[0].as_str(), said[2].as_str()), ("one", "two"));
    assert!(said[1].starts_with("error lua: test.lua:2: no\nstack traceback:"), "{said:?}");
}

#[test]
fn an_error_in_started_is_a_fault_of_the_script() {
    let error = load("haka.rule{ hook = haka.events.started, eval = function()\nerror('no') end }");
    assert!(error.unwrap_err().to_string().starts_with("test.lua:2: no"));
}

#[test]
fn pprint_puts_every_line_behind_the_indent_and_into_the_callers_hands() {
    assert_eq!(
        messages(
            "debug.pprint({ a = { 1 } }, '| ')
            debug.pprint({ a = 2 }, '  ', nil, nil, function(line) print('<' .. line .. '>') end)"
        ),
        [
            "| table {\n|   a : table {\n|     1 : 1\n|   }\n| }",
            "<  table {>",
            "<    a : 2>",
            "<  }>"
        ]
    );
}

#[test]
fn pprint_shows_tables_by_their_fields() {
    assert_eq!(
        messages(
            "debug.pprint('text') debug.pprint(7) debug.pprint(nil) debug.pprint({})
            local t = { b = { 1, true, 'x' }, a = ipv4.addr('10.0.0.1'), f = print }
            t.self = t
            debug.pprint(t)
            debug.pprint(haka.vbuffer_from('bytes'))
            debug.pprint(require('class').class('Point'):new())"
        ),
        [
            "\"text\"",
            "7",
            "nil",
            "table {}",
            "table {\n  a : 10.0.0.1\n  b : table {\n    1 : 1\n    2 : true\n    \
             3 : \"x\"\n  }\n  f : function\n  self : table { recursive }\n}",
            "\"bytes\"",
            "class: Point {}",
        ]
    );
}

#[test]
fn modules_beside_the_script_are_run_once() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("words.lua", "print('running', ...) return { list = { 'evil' } }");
    write(
        "deep/er.lua",
        "haka.rule{ hook = tcp_connection.events.receive_data,\n eval = function() error('deep') end }",
    );
    write("broken.lua", "local x =\n");
    write("wrong.lua", "\nhaka.rule{ hook = tcp_connection.events.nope, eval = print }");
    let script = folder.path().join("main.lua");
    let rules = |text: &str| {
        std::fs::write(&script, text).unwrap();
        Rules::load(&script)
    };
    let good = rules(
        "local words = require('words') assert(require('words') == words and words.list[1] == 'evil')
        assert(require('deep.er') == true)",
    )
    .unwrap();
    let said: Vec<_> = good.messages().iter().map(|log| log.message.as_str()).collect();
    assert_eq!(said, ["running\twords"]);
    // What is loaded once stays, whatever becomes of the files.
    std::fs::remove_file(folder.path().join("words.lua")).unwrap();
    let mut scene = Scene::of(&good);
    scene.data(&[b"x"], false);
    assert!(scene.said()[0].starts_with("error tcp: deep/er.lua:2: deep"));

    let fault = |text: &str| rules(text).map(|_| ()).unwrap_err().faults.remove(0);
    let broken = fault("require('broken')");
    assert!(
        broken.message.starts_with("require 'broken': broken.lua:2: unexpected symbol"),
        "{broken}"
    );
    let wrong = fault("require('wrong')");
    assert_eq!(
        (wrong.file.as_path(), wrong.line),
        (folder.path().join("wrong.lua").as_path(), Some(2))
    );
    for name in ["../main", "/etc/passwd", "a//b", "nothing", ".words"] {
        let message = fault(&format!("require('{name}')")).message;
        assert!(message.starts_with(&format!("require '{name}': no such module")), "{message}");
    }
    let edits = |text: &str| rules(text).unwrap().policy().unwrap().interest();
    write("editor.lua", "return function(b) b:erase() end");
    let text = "haka.rule{ hook = tcp_connection.events.receive_data, eval = print }";
    assert!(!edits(text).contains(tollgate_policy::Interest::EDIT_DATA));
    let text = format!("require('editor') {text}");
    assert!(edits(&text).contains(tollgate_policy::Interest::EDIT_DATA));
    assert!(Path::new(&script).exists());
}

#[test]
fn an_error_of_luas_own_names_its_function_and_the_scripts_line() {
    for (call, said) in [
        ("string.format('%d', 'x')", "bad argument #2 to 'format' (number expected, got string)"),
        ("string.rep('x', 'a')", "bad argument #2 to 'rep' (number expected, got string)"),
        ("string.sub('x', {})", "bad argument #2 to 'sub' (number expected, got table)"),
        ("tostring()", "bad argument #1 to 'tostring' (value expected)"),
        ("string.upper()", "bad argument #1 to 'upper' (string expected, got no value)"),
    ] {
        let mut scene = Scene::new(&format!(
            "haka.rule{{ hook = tcp_connection.events.receive_data, eval = function()
                print(select(2, pcall(function() {call} end)))
                print(select(2, xpcall(function()
                    {call}
                end, function(e) return e end)))
                {call}
            end }}"
        ));
        scene.data(&[b"x"], false);
        let place = |line| format!("test.lua:{line}: {said}");
        let told = scene.said();
        assert_eq!(told[..2], [place(2), place(4)]);
        assert_eq!(told[2], format!("error tcp: {}", place(6)));
    }
}
