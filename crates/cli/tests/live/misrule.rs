//! Rules that loop for ever, allocate for ever or fail, at somebody's word: what everybody else feels of it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::felt::{Felt, Traffic};
use crate::lab::{Lab, Options, SERVER_V4, Side, join};
use crate::program::Program;
use crate::traffic;

/// A word in the stream names how the rule shall go wrong.
const OBEY: &str = "
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function (flow, current, dir)
        local text = current:asstring()
        if text:find('please loop', 1, true) then
            while true do end
        elseif text:find('please leak', 1, true) then
            local kept = {}
            for i = 1, 1e9 do kept[i] = ('x'):rep(5000) .. i end
        elseif text:find('please fail', 1, true) then
            error('as it was asked')
        end
    end
}
";

/// How long each is gone on with.
const SPAN: Duration = Duration::from_secs(3);
/// Between two words.
const PAUSE: Duration = Duration::from_millis(100);

/// Ordinary traffic while somebody says `word` ten times a second; also how often it was said.
fn beside(lab: &Lab, port: u16, word: Option<&'static str>) -> (Felt, usize) {
    let traffic = Traffic::begin(lab, SERVER_V4, port);
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, address) = (Arc::clone(&stop), SocketAddr::new(SERVER_V4, port + 100));
    // A dropped connection's server hears nothing more of it, so nobody waits for these to end.
    let listening =
        lab.within(Side::Server, move || TcpListener::bind(address)).expect("a free port");
    let speaker = lab.spawn(Side::Client, move || {
        let mut said = 0;
        while !stopped.load(Ordering::Relaxed) {
            if let Some(word) = word
                && let Ok(mut stream) = traffic::connect(address)
                && stream.write_all(word.as_bytes()).is_ok()
            {
                said += 1;
            }
            std::thread::sleep(PAUSE);
        }
        said
    });
    std::thread::sleep(SPAN);
    stop.store(true, Ordering::Relaxed);
    let said = join(speaker);
    drop(listening);
    (traffic.stop(), said)
}

/// `make felt` prints the figures; `bench/record` has some.
#[test]
fn a_rule_that_goes_wrong_costs_the_connection_that_made_it_and_no_other() {
    let Some(lab) = Lab::up(Options { queues: 2, keep_offloads: false }) else { return };
    let program = Program::start(&lab, OBEY, 2);
    let mut asked = 0;
    for (port, word) in [
        (7300, None),
        (7301, Some("please loop")),
        (7302, Some("please leak")),
        (7303, Some("please fail")),
    ] {
        let (felt, said) = beside(&lab, port, word);
        println!("{}, {said} times: {felt}", word.unwrap_or("nothing wrong"));
        assert_eq!(felt.failed, 0, "{word:?}");
        assert!(word.is_none() || said > 0, "{word:?}: {said}");
        asked += said;
    }
    let metrics = program.metrics(&lab);
    let errors = metrics.sum("tollgate_rule_errors_total", &[]);
    // Whoever says it again is told nothing: the connection is gone. Some may not have crossed by the end.
    assert!(errors > 2.0 && errors <= asked as f64, "{errors} of {asked}");
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("every frame accounted for"), "{ended:?}");
}
