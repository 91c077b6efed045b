//! Everything that can be given wrong: the exit code, the place and the way out are told, and
//! nothing is left behind.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use common::{Said, Talk, capture, say, tollgate};
use tempfile::TempDir;

/// A fault in what was given.
const FAULT: i32 = 1;
/// A command line that cannot be understood.
const USAGE: i32 = 2;

/// The exit code is `code`, every one of `words` is on stderr, and nothing looks like a crash.
#[track_caller]
fn refused(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, Some(code), "{said:?}");
    for word in words {
        assert!(said.err.contains(word), "no \"{word}\" in: {}", said.err);
    }
    assert!(!said.err.contains("panicked"), "{}", said.err);
    assert_eq!(said.out, "", "a fault says nothing on stdout");
}

/// Runs it with these arguments.
fn with(arguments: &[&str]) -> Said {
    say(tollgate().args(arguments))
}

fn file(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.path().join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A small good capture.
fn good() -> Vec<u8> {
    let mut talk = Talk::new(([198, 18, 0, 1], 4242), ([198, 18, 1, 1], 80));
    let frames = [talk.open(), talk.close()].concat();
    capture(&frames)
}

#[test]
fn no_command_and_unknown_ones_are_usage() {
    assert_eq!(with(&[]).code, Some(USAGE));
    refused(&with(&["rpelay"]), USAGE, &["rpelay", "replay"]);
    refused(&with(&["replay", "--rule", "x"]), USAGE, &["--rule", "--rules"]);
    refused(&with(&["replay"]), USAGE, &["--read"]);
    refused(&with(&["run"]), USAGE, &["--pair"]);
    refused(&with(&["check"]), USAGE, &["FILE"]);
}

#[test]
fn a_command_line_that_is_nearly_right_is_told_the_right_one() {
    for (arguments, tip) in [
        (&["replay", "in.pcap"][..], "tollgate replay -r in.pcap"),
        (&["check", "--config", "x.toml"], "tollgate check firewall.lua tollgate.toml"),
        (&["check", "--rules", "x.lua"], "tollgate check firewall.lua tollgate.toml"),
        (&["run", "a:b"], "tollgate run --pair a:b"),
    ] {
        let said = with(arguments);
        refused(&said, USAGE, &[tip]);
        assert!(!said.err.contains("as a value"), "{}", said.err);
    }
}

#[test]
fn the_help_teaches_with_examples_and_exit_codes() {
    let help = with(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for word in ["Examples:", "Exit codes:", "run", "replay", "check"] {
        assert!(help.out.contains(word), "{word}");
    }
    for command in ["run", "replay", "check"] {
        assert!(with(&["help", command]).out.contains("Example"), "{command}");
    }
}

#[test]
fn arguments_out_of_range_are_usage() {
    refused(&with(&["run", "--pair", "eth1"]), USAGE, &["--pair", "eth1:eth2"]);
    refused(&with(&["run", "--pair", "eth1:eth1"]), USAGE, &["eth1", "twice"]);
    refused(&with(&["run", "--pair", "a:b", "--workers", "0"]), USAGE, &["--workers", "1..=64"]);
    refused(&with(&["run", "--pair", "a:b", "--mode", "fast"]), USAGE, &["--mode", "zerocopy"]);
    refused(&with(&["replay", "-r", "x", "--events", "alert"]), USAGE, &["want alerts"]);
    for address in ["9460", "127.0.0.1", "localhost:9460", "300.0.0.1:1"] {
        let said = with(&["run", "--pair", "a:b", "--metrics", address]);
        refused(&said, USAGE, &["--metrics", address, "127.0.0.1:9460"]);
    }
}

#[test]
fn a_missing_interface_is_named() {
    let said = with(&["run", "--pair", "nosuch0:nosuch1", "--metrics", "off"]);
    refused(&said, FAULT, &["nosuch0", "no such interface", "ip link"]);
}

#[test]
fn an_interface_in_two_pairs_is_named() {
    let said = with(&["run", "--pair", "a0:b0", "--pair", "b0:c0", "--metrics", "off"]);
    refused(&said, FAULT, &["b0", "two pairs"]);
}

#[test]
fn without_permission_the_way_to_it_is_told() {
    let Some(space) = Namespace::with_a_pair() else { return };
    let said = space.as_nobody(&["run", "--pair", "a0:b0", "--metrics", "off"]);
    refused(&said, FAULT, &["a0", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "root"]);
}

#[test]
fn metrics_at_an_address_in_use_are_told_before_an_interface_is_touched() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let said = with(&["run", "--pair", "nosuch0:nosuch1", "--metrics", &address]);
    refused(&said, FAULT, &[&address, "in use", "--metrics off"]);
    // An address that this machine does not have (TEST-NET-3, RFC 5737).
    let said = with(&["run", "--pair", "nosuch0:nosuch1", "--metrics", "203.0.113.1:9460"]);
    refused(&said, FAULT, &["203.0.113.1:9460", "no interface has this address"]);
}

#[test]
fn a_rule_file_that_cannot_be_read_is_named() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("no.lua").to_str().unwrap().to_owned();
    let input = file(&directory, "in.pcap", good());
    for rules in [&missing, directory.path().to_str().unwrap()] {
        refused(&with(&["replay", "-r", &input, "--rules", rules]), FAULT, &[rules]);
    }
    // And before interfaces are looked at.
    let said = with(&["run", "--pair", "nosuch0:nosuch1", "--rules", &missing]);
    refused(&said, FAULT, &["no.lua: no such file"]);
    refused(&with(&["check", &missing]), FAULT, &["no.lua: no such file"]);
}

#[test]
fn a_broken_rule_file_is_told_with_its_line() {
    let directory = TempDir::new().unwrap();
    let rules = file(&directory, "broken.lua", "local x = 1\nhaka.rule{\n");
    for arguments in [
        vec!["check", &rules],
        vec!["replay", "-r", "nosuch.pcap", "--rules", &rules],
        vec!["run", "--pair", "nosuch0:nosuch1", "--rules", &rules],
    ] {
        refused(&with(&arguments), FAULT, &["broken.lua:"]);
    }
}

#[test]
fn an_unknown_event_is_told_with_its_line() {
    let directory = TempDir::new().unwrap();
    let text = "\n\nhaka.rule{ on = tcp_connection.events.recieve_data, eval = function() end }\n";
    let rules = file(&directory, "event.lua", text);
    refused(&with(&["check", &rules]), FAULT, &["event.lua:3:", "recieve_data"]);
}

#[test]
fn check_finds_what_only_traffic_would() {
    let directory = TempDir::new().unwrap();
    let text = "require('helper')
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function(flow, current)
        if current:asstring() == 'never' then
            haka.log.wraning('x')
            return flow:rset()
        end
        print(flow.sen, shared)
    end
}
";
    file(&directory, "helper.lua", "shared = 1\nfunction look(x) return hakka.rule end\n");
    let rules = file(&directory, "late.lua", text);
    let said = with(&["check", &rules]);
    refused(
        &said,
        FAULT,
        &[
            "late.lua:6: haka.Log has no 'wraning'; did you mean warning\n",
            "late.lua:7: haka.Flow has no 'rset'; did you mean reset\n",
            "late.lua:9: nothing sets 'sen' of haka.Flow: it is nil",
            "helper.lua:2: unknown global 'hakka'; did you mean haka\n",
        ],
    );

    // What may be meant is said, and is no fault, unless it is asked for.
    let rules = file(&directory, "open.lua", "print(debugging)\n");
    let said = with(&["check", &rules]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("open.lua: rules are good"), "{said:?}");
    let warning = "nothing sets the global 'debugging': it is nil";
    assert_eq!(said.err, format!("{rules}:1: warning: {warning}\n"));
    refused(&with(&["check", "--strict", &rules]), FAULT, &["open.lua:1: nothing sets"]);

    // A script that does not load is read all the same, and no slip is told twice.
    let text = "local e = tcp_connection.events.new_conection\nfunction f() haka.log.inf() end\n";
    let rules = file(&directory, "both.lua", text);
    let said = with(&["check", &rules]);
    refused(&said, FAULT, &["both.lua:1: unknown event", "both.lua:2: haka.Log has no 'inf'"]);
    assert_eq!(said.err.lines().count(), 2, "{}", said.err);
}

#[test]
fn check_tells_every_fault_of_every_file() {
    let directory = TempDir::new().unwrap();
    let rules = file(&directory, "broken.lua", "haka.rule{\n");
    let config = file(&directory, "bad.toml", "flows_mx = 1\nfail = 3\n[limits]\nflow_max = 2\n");
    let other = file(&directory, "notes.txt", "");
    let good = file(&directory, "good.toml", "midstream = \"pickup\"\n");
    let said = with(&["check", &rules, &config, &other, &good]);
    assert_eq!(said.code, Some(FAULT));
    assert_eq!(said.out, format!("{good}: configuration is good\n"));
    for word in [
        "broken.lua:",
        "bad.toml:1:1:",
        "bad.toml:2:8:",
        "bad.toml:4:1:",
        "\"flows_max\"?",
        "notes.txt: ",
    ] {
        assert!(said.err.contains(word), "no {word} in: {}", said.err);
    }
}

#[test]
fn a_configuration_is_checked_before_anything_else() {
    let directory = TempDir::new().unwrap();
    let config = file(&directory, "bad.toml", "[timeouts]\nestablishd_s = 10\n");
    for arguments in [
        vec!["run", "--pair", "nosuch0:nosuch1", "--config", &config],
        vec!["replay", "-r", "nosuch.pcap", "--config", &config],
    ] {
        refused(&with(&arguments), FAULT, &["bad.toml:2:1:", "did you mean \"established_s\"?"]);
    }
    let config = file(&directory, "metrics.toml", "metrics = \"nowhere\"\n");
    refused(
        &with(&["check", &config]),
        FAULT,
        &["metrics.toml:1:11:", "nowhere", "127.0.0.1:9460"],
    );
}

#[test]
fn a_choice_that_makes_no_sense_for_its_cause_is_told_with_those_that_do() {
    let directory = TempDir::new().unwrap();
    let nonsense = "on_asymmetric = \"pass\"\non_memory = \"drop\"\non_rule_error = \"drop_packet\"\nmidstream = \"drop_flow\"\n[limits]\nunanswered_packets_max = 0\n";
    let config = file(&directory, "nonsense.toml", nonsense);
    let words = [
        "nonsense.toml:1:17: on_asymmetric: \"pass\" cannot be",
        "want \"drop_packet\", \"drop_flow\" or \"bypass\"",
        "nonsense.toml:2:13: on_memory: unknown variant `drop`, expected one of `drop_packet`, `drop_flow`",
        "nonsense.toml:3:17: on_rule_error: unknown variant `drop_packet`",
        "nonsense.toml:4:13: midstream: unknown variant `drop_flow`",
        "nonsense.toml:6:26: unanswered_packets_max: 0 is out of range: want 1 to 255",
    ];
    refused(&with(&["check", &config]), FAULT, &words);
    let config = file(&directory, "reset.toml", "on_asymmetric = \"reset\"\n");
    refused(&with(&["check", &config]), FAULT, &["no RST is exact", "\"bypass\""]);
    let config = file(&directory, "gap.toml", "on_gap_timeout = \"pass\"\n");
    refused(&with(&["check", &config]), FAULT, &["gap.toml:1:18: on_gap_timeout", "never skipped"]);
    for good in [
        "on_gap_timeout = \"reset\"",
        "on_rule_error = \"drop\"",
        "on_rule_error = \"bypass\"",
        "midstream = \"reset\"",
        "on_memory = \"pass\"",
        "on_asymmetric = \"bypass\"",
    ] {
        let config = file(&directory, "good.toml", good);
        assert_eq!(with(&["check", &config]).code, Some(0), "{good}");
    }
}

#[test]
fn broken_captures_are_told_with_their_name_and_write_nothing() {
    let directory = TempDir::new().unwrap();
    let out = directory.path().join("out.pcap");
    let missing = directory.path().join("missing.pcap").to_str().unwrap().to_owned();
    let mut magic = good();
    magic[..4].copy_from_slice(b"what");
    for (name, input) in [
        ("empty.pcap", file(&directory, "empty.pcap", b"")),
        ("magic.pcap", file(&directory, "magic.pcap", magic)),
        ("short.pcap", file(&directory, "short.pcap", &good()[..10])),
        ("zip.gz", file(&directory, "zip.gz", [0x1f, 0x8b, 8, 0, 1, 2, 3])),
        ("missing.pcap", missing),
        ("", directory.path().to_str().unwrap().to_owned()),
    ] {
        let said = with(&["-q", "replay", "-r", &input, "-w", out.to_str().unwrap()]);
        refused(&said, FAULT, &[name, &input]);
        assert!(!out.exists(), "{input}");
    }
}

#[test]
fn a_truncated_capture_is_told_with_the_packet_and_what_came_before_it_is_kept() {
    let directory = TempDir::new().unwrap();
    let whole = good();
    let input = file(&directory, "cut.pcap", &whole[..whole.len() - 7]);
    let out = directory.path().join("out.pcap");
    let said = say(tollgate().args(["replay", "-r", &input, "-w"]).arg(&out));
    assert_eq!(said.code, Some(FAULT), "{said:?}");
    for word in ["cut.pcap", "packet 6", "every frame accounted for"] {
        assert!(said.err.contains(word), "no {word} in {}", said.err);
    }
    assert_eq!(common::read_capture(&out).len(), 5);
}

#[test]
fn a_replay_does_not_write_over_its_input() {
    let directory = TempDir::new().unwrap();
    let input = file(&directory, "in.pcap", good());
    let same = directory.path().join(".").join("in.pcap");
    let said = with(&["replay", "-r", &input, "-w", same.to_str().unwrap()]);
    refused(&said, FAULT, &["in.pcap", "another file"]);
    assert_eq!(fs::read(&input).unwrap(), good());
    let nowhere = directory.path().join("no/out.pcap");
    let said = with(&["-q", "replay", "-r", &input, "-w", nowhere.to_str().unwrap()]);
    refused(&said, FAULT, &["no/out.pcap"]);
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let directory = TempDir::new().unwrap();
    let mut frames = Vec::new();
    for port in 0..2000 {
        let mut talk = Talk::new(([198, 18, 0, 1], 1024 + port), ([198, 18, 1, 1], 80));
        frames.extend(talk.open());
    }
    let input = file(&directory, "in.pcap", capture(&frames));
    let script = format!(
        "'{}' -q replay --events all -r '{input}' | head -n 1",
        tollgate().get_program().to_str().unwrap()
    );
    let output =
        Command::new("bash").args(["-c", &format!("set -o pipefail; {script}")]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
}

/// A network namespace with two ends of a veth pair in it; removed when it goes.
struct Namespace(String);

impl Namespace {
    /// None, with a line that says why, where it cannot be made.
    fn with_a_pair() -> Option<Self> {
        let space = Self(format!("tollgate-cli-{}", std::process::id()));
        let made = ip(&["netns", "add", &space.0])
            && ip(&["-n", &space.0, "link", "add", "a0", "type", "veth", "peer", "name", "b0"])
            && ip(&["-n", &space.0, "link", "set", "a0", "up"])
            && ip(&["-n", &space.0, "link", "set", "b0", "up"]);
        if !made || !Path::new("/usr/bin/setpriv").exists() {
            println!("skipped: needs root, ip and setpriv");
            return None;
        }
        Some(space)
    }

    fn as_nobody(&self, arguments: &[&str]) -> Said {
        // Where the build lies, others may not look; a copy can be seen by all.
        let directory = TempDir::new().unwrap();
        let program = directory.path().join("tollgate");
        fs::copy(env!("CARGO_BIN_EXE_tollgate"), &program).unwrap();
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(directory.path(), mode).unwrap();
        let nobody =
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
        let mut command = assert_cmd::Command::new("ip");
        command.args(["netns", "exec", &self.0]).args(nobody).arg(program).args(arguments);
        say(&mut command)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}
