//! A rule that loops or leaks costs its own connection.
mod common;

use common::Scene;
use tollgate_policy::Verdict;
use tollgate_script::{Limits, OnRuleError, RuleErrors, Rules, Settings};

const LIMITS: Limits = Limits {
    instructions_max: 300_000,
    load_instructions_max: 10_000_000,
    memory_bytes_max: 8 << 20,
    unread_bytes_max: 1 << 20,
    script_bytes_max: 1 << 20,
};

fn scene(options: &str, body: &str) -> Scene {
    scene_with(LIMITS, options, body)
}

fn scene_with(limits: Limits, options: &str, body: &str) -> Scene {
    let text = format!(
        "haka.rule{{ hook = tcp_connection.events.receive_data, {options} eval = function(flow, current, dir)
        if flow.srcport == 1 then return end\n{body}\nend }}"
    );
    Scene::with(&text, Settings { limits, ..Settings::default() })
}

/// The next connection, whose rule returns at once, feels nothing.
fn others_go_on(scene: &mut Scene) {
    scene.next();
    scene.client.port = 1;
    assert_eq!(scene.data(&[b"x"], false), Verdict::Accept);
    assert_eq!(scene.said(), [""; 0]);
}

#[test]
fn an_endless_loop_ends_however_it_is_wrapped() {
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function(e) return e end) end",
        "xpcall(function() while true do end end, function() while true do end end)",
        "xpcall(error, function() while true do end end)",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "while true do pcall(coroutine.wrap(function() while true do end end)) end",
        "repeat local a = ('x'):rep(10) until false",
        "local function f() return f() end f()",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "setmetatable({}, {__index = function() while true do end end}).x = nil local y = setmetatable({}, {__index = function() while true do end end}).x",
        "local t = setmetatable({}, {__tostring = function() while true do end end}) print(t)",
        "('x'):gsub('x', function() while true do end end)",
        "while true do pcall(error, 'again') end",
        "for i = 1, 1e12 do local x = (''):rep(1e9) end",
    ] {
        let mut scene = scene("", body);
        assert_eq!(scene.data(&[b"x"], false), Verdict::Drop, "{body}");
        let said = scene.said();
        assert!(
            said[0].contains("a rule ran for more than 300000 instructions"),
            "{body}: {said:?}"
        );
        assert!(said[1].contains("test.lua:3: "), "{body}: {said:?}");
        assert_eq!(
            scene.policy.rule_errors(),
            RuleErrors { instructions: 1, ..RuleErrors::default() },
            "{body}"
        );
        others_go_on(&mut scene);
    }
}

/// Each of these works for seconds, hours or centuries inside calls that no hook looks into.
#[test]
fn work_inside_one_call_counts() {
    for (before, body) in [
        ("", "local s = '' while true do s = s .. 'x' end"),
        ("", "while true do local s = ('x'):rep(2e6) end"),
        ("big = ('x'):rep(2e6)", "while true do local s = big:upper() end"),
        ("big = ('x'):rep(2e6)", "while true do local s = ('%s'):format(big) end"),
        ("big = ('x'):rep(2e6)", "while true do haka.log(big) end"),
        ("big = ('x'):rep(2e6)", "local i = 1 while true do local s = big:sub(i) i = 3 - i end"),
        ("", "while true do haka.vbuffer_allocate(2e6) end"),
        (
            "list = {} for i = 1, 1e5 do list[i] = i end",
            "while true do table.insert(list, 1, 0) end",
        ),
        ("list = {} for i = 1, 1e5 do list[i] = 'x' end", "while true do table.concat(list) end"),
        ("list = {} for i = 1, 1e5 do list[i] = i end", "while true do table.sort(list) end"),
        (
            "big, less = ('a'):rep(2e6), ('a'):rep(1e6) .. 'b'",
            "while true do big:find(less, 1, true) end",
        ),
        ("big = ('a'):rep(1e6)", "while true do big:gsub('a', 'b') end"),
        ("big = ('a'):rep(2e6)", "while true do pcall(error, big) end"),
        ("big = (' '):rep(2e6)", "while true do tonumber(big) end"),
        ("big = ('a'):rep(2e6)", "while true do haka.alert{ description = big } end"),
        ("big = ('a'):rep(2e6)", "while true do pcall(error, big) end"),
        ("big = (' '):rep(2e6)", "while true do tonumber(big) end"),
        ("big = ('a'):rep(2e6)", "while true do haka.alert{ description = big } end"),
        ("big = ('a'):rep(3000)", "big:find('.-.-.-.-.-b')"),
        ("big = ('a'):rep(3000)", "big:match('^a*a*a*a*a*b')"),
        ("big = ('a'):rep(3000)", "for a in big:gmatch('a*a*a*a*b') do end"),
        ("big = ('a'):rep(3000)", "big:gsub('a*a*a*a*b', '')"),
        ("big = ('a'):rep(40)", "big:find(('a?'):rep(40) .. ('a'):rep(41))"),
        ("big = ('('):rep(1e5)", "big:find('%b()')"),
        ("big = ('a'):rep(3000)", "while true do pcall(big.find, big, '.-.-.-.-b') end"),
        ("big = ('a'):rep(3000)", "coroutine.wrap(function() big:find('.-.-.-.-b') end)()"),
    ] {
        let text = format!(
            "{before}\nhaka.rule{{ hook = tcp_connection.events.receive_data,
            eval = function(flow) if flow.srcport == 1 then return end\n{body}\nend }}"
        );
        let mut scene = Scene::with(&text, Settings { limits: LIMITS, ..Settings::default() });
        assert_eq!(scene.data(&[b"x"], false), Verdict::Drop, "{body}");
        let said = scene.said();
        let told = said.iter().any(|line| line.contains("test.lua:4: a rule ran for more than"));
        assert!(told, "{body}: {said:?}");
        others_go_on(&mut scene);
    }
}

#[test]
fn a_module_that_loops_is_stopped_too() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    write("endless.lua", "return {\n  loop = function() while true do end end\n}");
    let path = write(
        "main.lua",
        "local endless = require('endless')
        haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow)
            if flow.srcport ~= 1 then endless.loop() end
        end }",
    );
    let settings = Settings { limits: LIMITS, ..Settings::default() };
    let mut scene = Scene::of(&Rules::load_with(&path, settings).unwrap());
    assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
    let said = scene.said();
    assert!(said[0].contains("endless.lua:2: a rule ran for more than"), "{said:?}");
    assert!(said[1].contains("main.lua:3: in"), "{said:?}");
    others_go_on(&mut scene);

    // And while it loads.
    write("endless.lua", "while true do end");
    let error = Rules::load_with(&path, settings).unwrap_err().to_string();
    assert!(error.contains("a rule ran for more than 10000000 instructions"), "{error}");
}

#[test]
fn an_endless_rule_may_be_passed_over() {
    let text = "haka.rule{ hook = tcp_connection.events.receive_data, eval = function()
        while true do end
    end }";
    let settings =
        Settings { limits: LIMITS, on_rule_error: OnRuleError::Pass, ..Settings::default() };
    let mut scene = Scene::with(text, settings);
    for instructions in 1..=2 {
        assert_eq!(scene.data(&[b"x"], false), Verdict::Accept);
        assert!(scene.said()[0].contains("a rule ran for more than 300000 instructions"));
        let errors = RuleErrors { instructions, ..RuleErrors::default() };
        assert_eq!(scene.policy.rule_errors(), errors);
    }
}

#[test]
fn an_endless_loop_in_a_streamed_rule_ends() {
    for body in [
        "current:sub(1) while true do end",
        "while true do pcall(function() while true do end end) end",
    ] {
        let mut scene = scene("options = { streamed = true },", body);
        assert_eq!(scene.data(&[b"x"], false), Verdict::Drop, "{body}");
        let said = scene.said();
        assert!(said[0].contains("a rule ran for more than 300000 instructions"), "{said:?}");
        assert!(said[1].contains("test.lua:3: "), "{said:?}");
        others_go_on(&mut scene);
    }
}

#[test]
fn edits_of_a_huge_buffer_count_by_its_bytes() {
    for body in [
        "while true do big:pos(0):insert(haka.vbuffer_from('x')) end",
        "while true do big[1] = 1 big:asstring() end",
        "while true do big:sub(0, 1):setstring('xy') end",
    ] {
        let body = body.replace("true do", "true do count = (count or 0) + 1");
        let count = "if flow.srcport == 2 then return print(count) end";
        let text = format!("{count} local big = haka.vbuffer_allocate(131072)\n{body}");
        // Room for the garbage of many copies: which limit is met first must not depend on when the
        // collector comes round.
        let limits = Limits { memory_bytes_max: 64 << 20, ..LIMITS };
        let mut scene = scene_with(limits, "", &text);
        assert_eq!(scene.data(&[b"x"], false), Verdict::Drop, "{body}");
        let said = scene.said();
        assert!(said[0].contains("a rule ran for more than 300000 instructions"), "{said:?}");
        // Without the charge it would be thousands.
        scene.next();
        scene.client.port = 2;
        scene.data(&[b"x"], false);
        let count: u32 = scene.said()[0].parse().unwrap_or(u32::MAX);
        assert!(count < 200, "{body}: {count}");
        others_go_on(&mut scene);
    }
}

#[test]
fn a_rule_that_recurses_for_ever_fails_alone() {
    let mut scene = scene("", "local function f() return 1 + f() end f()");
    assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
    assert!(scene.said()[0].contains("stack overflow"));
    others_go_on(&mut scene);
}

#[test]
fn an_endless_allocation_ends_and_is_given_back() {
    for body in [
        "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(5000) .. i end",
        "local s = 'x' while true do s = s .. s end",
        "local s = ('x'):rep(1e9)",
        "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
        "local t = {} while true do t[#t + 1] = { coroutine.create(function() end), ('x'):rep(5000) .. #t } end",
    ] {
        let mut scene = scene("", body);
        assert_eq!(scene.data(&[b"x"], false), Verdict::Drop, "{body}");
        let said = scene.said();
        assert!(said[0].contains("the rules' memory is exhausted"), "{body}: {said:?}");
        let errors = scene.policy.rule_errors();
        assert_eq!((errors.memory, errors.restarts), (1, 0), "{body}");
        assert!(scene.policy.used_memory_bytes() < 2 << 20, "{body}");
        others_go_on(&mut scene);
    }
}

#[test]
fn an_endless_allocation_in_a_streamed_rule_ends() {
    let body = "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(5000) .. i end";
    let mut scene = scene("options = { streamed = true },", body);
    assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
    assert_eq!(scene.policy.rule_errors().memory, 1, "{:?}", scene.said());
    scene.said();
    others_go_on(&mut scene);
}

#[test]
fn a_script_that_remembers_too_much_starts_afresh() {
    let mut scene = scene(
        "",
        "kept = kept or {} for i = 1, 1e9 do kept[#kept + 1] = ('x'):rep(5000) .. #kept end",
    );
    assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
    assert!(scene.said().last().unwrap().contains("started afresh"));
    assert_eq!(scene.policy.rule_errors().restarts, 1);
    others_go_on(&mut scene);
    scene.end();
}

#[test]
fn many_honest_events_never_add_up_to_a_limit() {
    let mut scene =
        scene("", "local s = current:asstring() for i = 1, 1000 do s = s:sub(1, 5) end");
    for _ in 0..1000 {
        assert_eq!(scene.data(&[&[7; 1000]], false), Verdict::Accept);
    }
    assert_eq!(scene.said(), [""; 0]);
}

#[test]
fn flows_that_have_ended_leave_nothing_behind() {
    let mut scene = scene("", "flow.mine = current:asstring()");
    let mut after_warm_up = 0;
    for round in 0..20_000 {
        scene.data(&[&[7; 1000]], false);
        scene.end();
        scene.next();
        if round == 2_000 {
            after_warm_up = scene.policy.used_memory_bytes();
        }
    }
    assert!(scene.policy.used_memory_bytes() < after_warm_up.max(1 << 20) * 3, "{after_warm_up}");
}

#[test]
fn a_full_stack_is_told_with_the_rule_that_filled_it_wherever_that_happens() {
    // How much of the stack is left when it is full depends on what was called before.
    for parameters in ["", "flow", "flow, a", "flow, a, b", "flow, a, b, c"] {
        for (hook, body) in
            [("new_connection", ""), ("receive_data", ""), ("receive_data", "data[1] = 1")]
        {
            let mut scene = Scene::new(&format!(
                "haka.rule{{ hook = tcp_connection.events.{hook}, eval = function({parameters})
                    local function f() return 1 + f() end f() {body} end }}"
            ));
            let verdict = scene.open().max(scene.data(&[b"x"], false));
            assert_eq!(verdict, Verdict::Drop, "{hook} {parameters}");
            let first = scene.said().remove(0);
            assert!(
                first == "error tcp: test.lua:2: stack overflow"
                    || first == "error tcp: test.lua:1: stack overflow",
                "{hook} {parameters}: {first}"
            );
        }
    }
}

#[test]
fn an_error_that_names_no_line_is_told_with_one() {
    for (body, said) in [
        ("local function f() return 1 + f() end f()", "test.lua:2: stack overflow"),
        (
            "error(setmetatable({}, { __tostring = function() error('no') end }))",
            "test.lua:2: error in error handling",
        ),
        (
            "coroutine.wrap(function() local function f() return 1 + f() end f() end)()",
            "test.lua:2: stack overflow",
        ),
    ] {
        for options in ["", "options = { streamed = true }, "] {
            let mut scene = Scene::new(&format!(
                "haka.rule{{ hook = tcp_connection.events.receive_data, {options}eval = function(flow)\n{body}\nend }}"
            ));
            assert_eq!(scene.data(&[b"x"], false), Verdict::Drop);
            let first = scene.said().remove(0);
            assert!(
                first.starts_with(&format!("error tcp: {said}"))
                    || first == "error tcp: test.lua:1: stack overflow",
                "{options}{body}: {first}"
            );
        }
    }
}
