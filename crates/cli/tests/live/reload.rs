//! Rules loaded again under traffic: nobody feels it but those whom the new rules concern.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::time::{Duration, Instant};

use crate::felt::Traffic;
use crate::lab::{Lab, Options, SERVER_V4, SERVER_V6, Side, join};
use crate::program::Program;
use crate::traffic::{self, End};

/// Rules that refuse a word in the stream, and one that all understand: `please hang up`.
fn refusing(word: &str) -> String {
    format!(
        "haka.rule{{ hook = tcp_connection.events.receive_data,
        eval = function(flow, current)
            local text = current:asstring()
            if text:find('{word}', 1, true) or text:find('hang up', 1, true) then flow:reset() end
        end }}"
    )
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A connection that has crossed, and its server's end.
fn pair(lab: &Lab, address: SocketAddr) -> (TcpStream, TcpStream) {
    let serving = traffic::server(lab, address, 1, |mut stream| {
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).expect("it is let through");
        stream
    });
    let client = lab.within(Side::Client, move || {
        let mut stream = traffic::connect(address).expect("it is let through");
        stream.write_all(b"hello").expect("it is let through");
        stream
    });
    (client, join(serving).remove(0))
}

const WAIT: Duration = Duration::from_secs(3);

#[test]
fn a_broken_script_leaves_the_old_rules_and_says_where_it_is_broken() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, &refusing("apple"), 1);
    let (mut client, mut server) = pair(&lab, SocketAddr::new(SERVER_V4, 7000));

    program.rewrite("haka.rule{\nhook = tcp_connection.events.new_conection,\neval = print }");
    let refused = program.reload(&[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let told = stderr(&refused);
    assert!(told.contains("rules.lua:2: unknown event"), "{told}");
    assert!(told.contains("the old rules go on"), "{told}");

    client.write_all(b"an apple").unwrap();
    assert_eq!(traffic::next(&mut server, WAIT), End::Reset);
    let metrics = program.metrics(&lab);
    assert_eq!(metrics.sum("tollgate_rules_generation", &[]), 1.0);
    assert_eq!(metrics.sum("tollgate_rules_reloads_total", &["result=\"refused\""]), 1.0);
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // The log names the line, too.
    assert!(ended.stderr.contains("rules.lua:2: unknown event"), "{ended:?}");
}

#[test]
fn living_connections_keep_their_rules_or_move_as_told() {
    let Some(lab) = Lab::up(Options { queues: 2, keep_offloads: false }) else { return };
    let program = Program::start(&lab, &refusing("apple"), 2);
    let (mut keeps, mut kept) = pair(&lab, SocketAddr::new(SERVER_V4, 7001));

    program.rewrite(&refusing("pear"));
    let done = program.reload(&["--flows", "keep"]);
    assert!(done.status.success(), "{done:?}");
    let (mut younger, mut newer) = pair(&lab, SocketAddr::new(SERVER_V6, 7002));
    assert_eq!(program.metrics(&lab).sum("tollgate_rule_sets", &[]), 3.0);

    keeps.write_all(b"a pear").unwrap();
    assert_eq!(traffic::next(&mut kept, WAIT), End::Data, "it has the rules it began with");
    younger.write_all(b"an apple").unwrap();
    assert_eq!(traffic::next(&mut newer, WAIT), End::Data, "it has the new rules");

    program.rewrite(&refusing("plum"));
    // SIGHUP does as configured, which is to keep; so this asks by the socket.
    assert!(program.reload(&["--flows", "move"]).status.success());
    younger.write_all(b"a pear").unwrap();
    assert_eq!(traffic::next(&mut newer, WAIT), End::Data);
    younger.write_all(b"a plum").unwrap();
    assert_eq!(traffic::next(&mut newer, WAIT), End::Reset, "it has moved");
    keeps.write_all(b"a plum").unwrap();
    assert_eq!(traffic::next(&mut kept, WAIT), End::Reset, "it has moved");

    program.rewrite(&refusing("fig"));
    program.signal("HUP");
    let deadline = Instant::now() + WAIT;
    while program.metrics(&lab).sum("tollgate_rules_generation", &[]) < 4.0 {
        assert!(Instant::now() < deadline, "SIGHUP reloads");
    }
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("every frame accounted for"), "{ended:?}");
}

/// How many reloads the traffic must bear; `make felt` has it bear 1000.
const RELOADS: usize = 50;

#[test]
fn nothing_is_lost_when_rules_are_loaded_again_and_again() {
    let Some(lab) = Lab::up(Options { queues: 2, keep_offloads: false }) else { return };
    let reloads = std::env::var("TOLLGATE_RELOADS").ok().and_then(|text| text.parse().ok());
    let reloads: usize = reloads.unwrap_or(RELOADS);
    let program = Program::start(&lab, &refusing("apple"), 2);
    let traffic = Traffic::begin(&lab, SERVER_V4, 7100);
    std::thread::sleep(Duration::from_secs(3));
    let quiet = traffic.stop();

    let traffic = Traffic::begin(&lab, SERVER_V6, 7200);
    let mut took = Vec::new();
    for reload in 0..reloads {
        program.rewrite(&refusing(["pear", "apple"][reload % 2]));
        let flows = if reload % 10 == 9 { "move" } else { "keep" };
        let began = Instant::now();
        let output = program.reload(&["--flows", flows]);
        took.push(began.elapsed());
        assert!(output.status.success(), "reload {reload}: {output:?}\n{:?}", program.stop());
    }
    let busy = traffic.stop();
    took.sort();
    println!("before: {quiet}\nwhile rules were loaded {reloads} times: {busy}");
    println!("a reload: median {:?}, longest {:?}", took[took.len() / 2], took[took.len() - 1]);
    assert_eq!((quiet.failed, busy.failed), (0, 0));
    let metrics = program.metrics(&lab);
    let count = |name: &str| metrics.sum(name, &[]);
    assert_eq!(count("tollgate_rules_generation"), 1.0 + reloads as f64);
    assert_eq!(count("tollgate_rule_sets"), 2.0, "old rules go with their connections");
    assert_eq!(count("tollgate_rule_errors_total"), 0.0);
    assert_eq!(count("tollgate_kernel_dropped_frames_total"), 0.0);
    assert_eq!(count("tollgate_packets_forgotten_total"), 0.0);
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("every frame accounted for"), "{ended:?}");
}
