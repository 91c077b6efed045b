//! What a rule decides is what real Linux endpoints see.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::lab::{Lab, Options, SERVER_V4, SERVER_V6, Side, join};
use crate::program::Program;
use crate::rules;
use crate::traffic::{self, End};

/// "At once" for a reset: a small part of the shortest retransmission timer (200 ms).
const AT_ONCE: Duration = Duration::from_millis(150);
/// Long enough for retransmissions to have been tried, and answered if anyone would answer.
const QUIET: Duration = Duration::from_millis(1500);

/// Who says the word, after both have said hello.
#[derive(Clone, Copy, Debug)]
enum Speaker {
    Client,
    Server,
}

/// What client and server saw next.
fn ends_after(lab: &Lab, server: IpAddr, speaker: Speaker, word: &'static str) -> (End, End) {
    let address = SocketAddr::new(server, 7000);
    let play = move |mut stream: TcpStream, speaks: bool| {
        stream.write_all(b"hello\n").unwrap();
        let mut hello = [0; 6];
        stream.read_exact(&mut hello).expect("the other's hello");
        if speaks {
            stream.write_all(word.as_bytes()).unwrap();
        }
        let waited = Instant::now();
        let end = traffic::next(&mut stream, QUIET);
        if end == End::Reset {
            assert!(waited.elapsed() < AT_ONCE, "{:?} is not at once", waited.elapsed());
        }
        end
    };
    let client_speaks = matches!(speaker, Speaker::Client);
    let serving = traffic::server(lab, address, 1, move |stream| play(stream, !client_speaks));
    let client = lab.within(Side::Client, move || {
        play(traffic::connect(address).expect("let in"), client_speaks)
    });
    (client, join(serving)[0])
}

fn for_every_case(word: &'static str, expected: (End, End)) {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, rules::OBEY, 1);
    for server in [SERVER_V4, SERVER_V6] {
        for speaker in [Speaker::Client, Speaker::Server] {
            let ends = ends_after(&lab, server, speaker, word);
            assert_eq!(ends, expected, "{word}: {speaker:?} spoke, over {server}");
        }
    }
    assert_eq!(program.metrics(&lab).sum("tollgate_unbalanced_turns_total", &[]), 0.0);
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn reset_closes_client_and_server_at_once() {
    for_every_case("please reset", (End::Reset, End::Reset));
}

#[test]
fn halfreset_closes_only_the_server() {
    for_every_case("please halfreset", (End::Silent, End::Reset));
}

#[test]
fn drop_tells_neither() {
    for_every_case("please drop", (End::Silent, End::Silent));
}

#[test]
fn a_word_that_no_rule_minds_arrives() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, rules::OBEY, 1);
    let ends = ends_after(&lab, SERVER_V4, Speaker::Client, "please wait");
    assert_eq!(ends, (End::Closed, End::Data));
    assert_eq!(program.stop().code, Some(0));
}

#[test]
fn a_refused_connection_is_silent_and_a_reset_one_is_refused() {
    let Some(lab) = Lab::up(Options::default()) else { return };
    let program = Program::start(&lab, rules::REFUSE, 1);
    for server in [SERVER_V4, SERVER_V6] {
        let try_port = |port| {
            let address = SocketAddr::new(server, port);
            lab.within(Side::Client, move || {
                TcpStream::connect_timeout(&address, QUIET).map(drop).map_err(|error| error.kind())
            })
        };
        let serving = [81, 82, 83].map(|port| {
            let address = SocketAddr::new(server, port);
            (port == 83).then(|| traffic::server(&lab, address, 1, drop))
        });
        assert_eq!(try_port(81), Err(ErrorKind::TimedOut));
        assert_eq!(try_port(82), Err(ErrorKind::ConnectionRefused));
        assert_eq!(try_port(83), Ok(()));
        serving.into_iter().flatten().for_each(|thread| drop(join(thread)));
    }
    let ended = program.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("Not through this door"), "{}", ended.stdout);
}
