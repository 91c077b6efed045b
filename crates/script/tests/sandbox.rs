//! What scripts do not have: a way out, and a way into the interpreter.
mod common;

use common::{Scene, load};

/// Runs an expression in a rule, and gives what it is.
fn value(expression: &str) -> String {
    let mut scene = Scene::new(&format!(
        "haka.rule{{ hook = tcp_connection.events.new_connection, eval = function(flow, pkt)
            print({expression})
        end }}"
    ));
    scene.open();
    scene.said().join("\n")
}

#[test]
fn nothing_reaches_outside_or_loads_code() {
    for name in [
        "io",
        "os",
        "ffi",
        "jit",
        "package",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "module",
        "getfenv",
        "setfenv",
        "newproxy",
        "gcinfo",
        "string.dump",
        "debug.getinfo",
        "debug.sethook",
        "debug.getregistry",
        "debug.getupvalue",
        "debug.setmetatable",
        "debug.getlocal",
    ] {
        assert_eq!(value(name), "nil", "{name}");
    }
}

#[test]
fn no_name_of_a_module_is_a_path() {
    for name in ["../x", "/etc/passwd", "a/../b", "", ".", "a//b", "ffi", "jit.util", "io"] {
        let text = format!("require('{name}')");
        let error = load(&text).unwrap_err().to_string();
        assert!(error.contains("no such module"), "{name}: {error}");
    }
}

#[test]
fn bytecode_is_refused_as_a_script_and_as_a_module() {
    let lua = mlua::Lua::new();
    let code = lua.load("return 1").into_function().map(|function| function.dump(true));
    let code = code.expect("it compiles");
    let rules = tollgate_script::Rules::parse(
        "a.lua".as_ref(),
        code.clone(),
        tollgate_script::Settings::default(),
    );
    let error = rules.expect_err("bytecode").to_string();
    assert!(error.contains("attempt to load a binary chunk"), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("code.lua"), code).expect("written");
    let path = folder.path().join("main.lua");
    std::fs::write(&path, "require('code')").expect("written");
    let error = tollgate_script::Rules::load(&path).expect_err("bytecode").to_string();
    assert!(error.contains("attempt to load a binary chunk"), "{error}");
}

#[test]
fn metatables_of_ours_are_not_to_be_had() {
    for (object, shown) in [
        ("''", "false"),
        ("flow", "false"),
        ("pkt", "false"),
        ("pkt.ip", "false"),
        ("flow.srcip", "false"),
        ("haka.vbuffer_from('x')", "false"),
        ("haka.alert.address('x')", "false"),
        ("tcp_connection.events.new_connection", "false"),
    ] {
        assert_eq!(value(&format!("(getmetatable({object}))")), shown, "{object}");
        let set = format!("(pcall(setmetatable, {object}, {{}}))");
        assert_eq!(value(&set), "false", "{object}");
    }
    // Methods of all strings cannot be changed by one rule, but by the table that is there to be read.
    assert_eq!(value("('x'):upper()"), "X");
}

#[test]
fn the_collector_can_be_asked_and_not_told() {
    assert_eq!(value("collectgarbage('count') > 100"), "true");
    assert_eq!(value("collectgarbage()"), "0");
    for what in ["stop", "setpause", "generational"] {
        let mut scene = Scene::new(&format!(
            "haka.rule{{ hook = tcp_connection.events.new_connection, eval = function()
                collectgarbage('{what}') end }}"
        ));
        scene.open();
        let said = scene.said();
        assert!(said[0].contains("test.lua:2: collectgarbage: only 'count' and"), "{said:?}");
    }
}
