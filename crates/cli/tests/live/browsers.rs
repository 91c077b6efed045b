//! The pages of `web`, through the same rules, asked for by wrk and by Chromium: every page is compared, by a
//! script in the one and in the other.
//!
//! Skipped, with a printed line, where they are not installed. `make web` asks for a hundred thousand.

use std::process::Command;
use std::time::Instant;

use crate::lab::{Lab, Options, SERVER_V4, SERVER_V6, Side};
use crate::program::Program;
use crate::web::{CHANGED, LINE, RULES, SMALL, server};

/// Requests of wrk for each version of IP and each way of asking, at least.
const WRK_REQUESTS: u64 = 500;
const WRK_REQUESTS_SOAK: u64 = 25_000;
/// Rounds of wrk in which that must be done.
const WRK_ROUNDS_MAX: u32 = 100;

/// Asks for small pages in turn, `arg` at once on each connection, and compares what comes.
const WRK: &str = r#"
local all = {}
function setup(thread) all[#all + 1] = thread end

local function page(number)
    local lines, count = {}, number % 50 * 7919 % 50 + 1
    for line = 0, count - 1 do lines[#lines + 1] = (line + number) % 37 == 0 and "CHANGED" or "LINE" end
    return table.concat(lines)
end

local many, at = 1, 0
good, bad, why = 0, 0, ""
function init(args) many = tonumber(args[1]) end

function request()
    local text = {}
    for i = 1, many do
        text[i] = wrk.format("GET", "/" .. SMALL + at % 5000)
        at = at + 1
    end
    return table.concat(text)
end

function response(status, headers, body)
    local number = tonumber((headers["X-Seen"] or ""):match("^/(%d+)$"))
    if status == 200 and not headers["Server"] and number and body == page(number) then
        good = good + 1
    else
        bad, why = bad + 1, status .. " " .. tostring(number) .. " " .. body
    end
end

function done(summary, latency)
    local g, b, text = 0, 0, ""
    for _, thread in ipairs(all) do
        g, b, text = g + thread:get("good"), b + thread:get("bad"), text .. thread:get("why")
    end
    local e = summary.errors
    print(("RESULT %d %d %d p99 %d us %s"):format(g, b, e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(99), text))
end
"#;

/// Asks for pages of all sizes, six at once, and writes what came of it into the document.
const HTML: &str = r##"<!DOCTYPE html><html><body><p>asking</p><script>
function page(number) {
    const most = number < 100000 ? 1250 : 50, count = number % most * 7919 % most + 1;
    let text = '';
    for (let line = 0; line < count; line++) text += (line + number) % 37 == 0 ? 'the sea lie' : '... a plain line';
    return text;
}
let good = 0, bad = 0, why = '';
async function ask(number) {
    try {
        const answer = await fetch('/' + number), text = await answer.text();
        const whole = text === page(number) && answer.headers.get('X-Seen') === '/' + number
            && !answer.headers.has('Server') && answer.ok;
        if (whole) good++; else { bad++; why += ' ' + number; }
    } catch (error) { bad++; why += ' ' + number + ': ' + error; }
}
async function run() {
    const count = Number(location.hash.slice(1));
    for (let at = 0; at < count; at += 6)
        await Promise.all([0, 1, 2, 3, 4, 5].map(more => ask(at + more)));
    document.body.textContent = 'RESULT ' + good + ' ' + bad + why;
}
run();
</script></body></html>
"##;

fn is_installed(program: &str) -> bool {
    let is_there =
        Command::new("which").arg(program).output().is_ok_and(|out| out.status.success());
    if !is_there {
        println!("skipped: no {program}");
    }
    is_there
}

fn is_soak() -> bool {
    std::env::var_os("TOLLGATE_SOAK").is_some()
}

/// Address and how it stands in a URL.
fn servers() -> [(std::net::IpAddr, String); 2] {
    [(SERVER_V4, SERVER_V4.to_string()), (SERVER_V6, format!("[{SERVER_V6}]"))]
}

/// The numbers behind `RESULT`.
fn result_of(said: &str) -> Vec<u64> {
    let line =
        said.lines().find_map(|line| line.split_once("RESULT ")).expect("it came to its end").1;
    line.split(['<', ' ']).map_while(|word| word.parse().ok()).collect()
}

fn stop(program: Program, lab: &Lab) {
    assert_eq!(program.metrics(lab).sum("tollgate_unbalanced_turns_total", &[]), 0.0);
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("alert") && !ended.stdout.contains("error"), "{ended:?}");
}

#[test]
fn wrk_gets_every_page_whole_one_by_one_and_pipelined() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    if !is_installed("wrk") {
        return;
    }
    let folder = tempfile::tempdir().expect("a directory for the script");
    let path = folder.path().join("pages.lua");
    let script = WRK.replace("CHANGED", CHANGED).replace("LINE", LINE);
    std::fs::write(&path, script.replace("SMALL", &SMALL.to_string())).expect("it can be written");
    let path = path.to_str().expect("a plain name");
    let program = Program::start(&lab, RULES, 1);
    let wanted = if is_soak() { WRK_REQUESTS_SOAK } else { WRK_REQUESTS };
    let round = if is_soak() { "-d10s" } else { "-d1s" };
    for (address, host) in servers() {
        server(&lab, address, "");
        let url = format!("http://{host}/");
        for at_once in ["1", "8"] {
            let (mut good, began) = (0, Instant::now());
            for _ in 0..WRK_ROUNDS_MAX {
                let command = ["wrk", "-t1", "-c8", round, "--timeout", "20s", "-s", path, &url];
                let said = lab.run(Side::Client, &[&command[..], &["--", at_once]].concat());
                let result = result_of(&said);
                assert_eq!(result[1..3], [0, 0], "{said}");
                good += result[0];
                if good >= wanted {
                    break;
                }
            }
            assert!(good >= wanted, "{good} pages over {host}");
            println!(
                "wrk over {host}, {at_once} at once: {good} pages whole in {:.1?}",
                began.elapsed()
            );
        }
    }
    stop(program, &lab);
}

#[test]
fn a_browser_shows_the_pages_that_the_rules_have_made() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    if !is_installed("chromium") {
        return;
    }
    let program = Program::start(&lab, RULES, 1);
    let count = if is_soak() { 3000 } else { 60 };
    for (address, host) in servers() {
        server(&lab, address, HTML);
        let (profile, began) = (tempfile::tempdir().expect("a profile"), Instant::now());
        let profile = format!("--user-data-dir={}", profile.path().display());
        let url = format!("http://{host}/start#{count}");
        // Time in the page stands still while it waits for the network, and what it waits for is no timer.
        let said = lab.run(
            Side::Client,
            &[
                &["timeout", "400", "chromium", "--headless", "--no-sandbox", "--disable-gpu"][..],
                &["--disable-quic", "--no-first-run", "--disable-background-networking"],
                &["--disable-component-update", "--disable-sync", &profile],
                &["--virtual-time-budget=3600000", "--dump-dom", &url],
            ]
            .concat(),
        );
        assert_eq!(result_of(&said), [count, 0], "{said}");
        println!("chromium over {host}: {count} pages whole in {:.1?}", began.elapsed());
    }
    stop(program, &lab);
}
