//! What rules cost: nanoseconds a packet through one worker on a link in memory, without rules, with one in Rust
//! and with several in Lua.
//!
//! All cases live at once and take turns, so that whatever else the machine does falls on all alike; a case's
//! neighbours in the table are measured within the same seconds.
#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use tollgate_bench::conversation::{Conversations, HANDSHAKE_STEPS};
use tollgate_bench::driver::{BURST, Driver, Look, Turns};
use tollgate_engine::Config;
use tollgate_link::Port;
use tollgate_policy::{AcceptAll, Policy};
use tollgate_script::{Rules, Settings};

/// What rules cost: nanoseconds a packet through one worker on a link in memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds; the median is what counts
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Measured time of each case in a round, in milliseconds
    #[arg(long, default_value_t = 200)]
    round_ms: u64,
    /// Only cases whose name contains this
    #[arg(long, default_value = "")]
    only: String,
}

/// Connections at once.
const FLOWS: usize = 1000;

const REQUEST: &[u8] = b"GET /index.html?x=1 HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\nAccept: text/html,*/*;q=0.8\r\n\
    Accept-Language: en\r\nAccept-Encoding: gzip, deflate\r\nCookie: id=0123456789abcdef\r\n\
    Connection: keep-alive\r\n\r\n";

const RESPONSE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\
    Date: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 612\r\n\
    Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nConnection: keep-alive\r\n\
    ETag: \"5f0a-264\"\r\nAccept-Ranges: bytes\r\n\r\n";

/// What connections carry, and by what it is counted.
#[derive(Clone, Copy)]
enum Traffic {
    /// The smallest frames: an event each.
    Small,
    /// Full segments of text.
    Text,
    /// Requests and responses, each in one segment.
    Http,
}

impl Traffic {
    const fn name(self) -> &'static str {
        match self {
            Self::Small => "64 bytes",
            Self::Text => "1518 bytes",
            Self::Http => "requests",
        }
    }

    fn conversations(self) -> Conversations {
        match self {
            Self::Small => Conversations::new(FLOWS, 60),
            Self::Text => Conversations::saying(FLOWS, text(), text()),
            Self::Http => {
                let response = [RESPONSE_HEAD, &[b'x'; 612]].concat();
                Conversations::saying(FLOWS, REQUEST.to_vec(), response)
            }
        }
    }

    /// What so many nanoseconds a packet come to.
    fn rate(self, ns: f64) -> String {
        match self {
            Self::Small => format!("{:.2} M events/s", 1e3 / ns),
            Self::Text => format!("{:.2} Gbit/s", 1460.0 * 8.0 / ns),
            Self::Http => format!("{:.0} k requests/s", 1e6 / (2.0 * ns)),
        }
    }
}

/// A segment of something like a page: words of letters, spaces, lines, tags.
fn text() -> Vec<u8> {
    let mut random = 7_u32;
    let letters = b"etaoinshrdlucmfw e t a<p>=/\"\n0";
    let mut letter = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        letters.get((random >> 24) as usize % letters.len()).copied().unwrap_or(b' ')
    };
    (0..1460).map(|_| letter()).collect()
}

const READS_FIELDS: &str = "haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function(flow, current, dir)
        if flow.dstport == 80 and dir == 'up' and #current > 4 and current[1] == 77 then flow:drop() end
    end
}";

/// Cases in Lua: traffic, name, script.
const SCRIPTS: [(Traffic, &str, &str); 10] = [
    (
        Traffic::Small,
        "Lua: empty",
        "haka.rule{ hook = tcp_connection.events.receive_data, eval = function() end }",
    ),
    (Traffic::Small, "Lua: reads fields", READS_FIELDS),
    (
        Traffic::Small,
        "Lua: match on another port",
        "haka.rule{ hook = tcp_connection.events.receive_data, match = { dstport = 8080 },
        eval = function(flow) flow:drop() end }",
    ),
    (
        Traffic::Small,
        "Lua: streamed",
        "haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
        eval = function(flow, iter)
            for part in iter:foreach_available() do if #part == 1 then flow:drop() end end
        end }",
    ),
    (
        Traffic::Small,
        "Lua: http on another port",
        "require('protocol/http').install_tcp_rule(8080)
        haka.rule{ hook = http.events.request, eval = function(http) http:drop() end }",
    ),
    (Traffic::Text, "Lua: reads fields", READS_FIELDS),
    (
        Traffic::Text,
        "Lua: streamed regexp",
        "local re = require('regexp/pcre').re:compile('[a-z]+@[a-z]+%.com')
        haka.rule{ hook = tcp_connection.events.receive_data, options = { streamed = true },
        eval = function(flow, iter) if re:match(iter) then flow:drop() end end }",
    ),
    (
        Traffic::Text,
        "Lua: find in a string",
        "haka.rule{ hook = tcp_connection.events.receive_data, eval = function(flow, current)
            if current:asstring():find('attack', 1, true) then flow:drop() end
        end }",
    ),
    (
        Traffic::Http,
        "Lua: http, request rule",
        "require('protocol/http').install_tcp_rule(80)
        haka.rule{ hook = http.events.request, eval = function(http, request)
            if request.uri == '/forbidden' or request.headers['Host'] == 'evil' then http:drop() end
        end }",
    ),
    // By one of the same length: the ends of this bench acknowledge what they would have been sent.
    (
        Traffic::Http,
        "Lua: http, a header rewritten",
        "require('protocol/http').install_tcp_rule(80)
        haka.rule{ hook = http.events.request, eval = function(http, request)
            request.headers['User-Agent'] = ('x'):rep(46)
        end }",
    ),
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut cases: Vec<Case> = Vec::new();
    for traffic in [Traffic::Small, Traffic::Text, Traffic::Http] {
        let is_wanted = |name| title(traffic, name).contains(&arguments.only);
        if is_wanted("none") {
            cases.push(Case::new(traffic, "none", AcceptAll));
        }
        if is_wanted("Rust: looks") {
            cases.push(Case::new(traffic, "Rust: looks", Look::default()));
        }
        for (of, name, script) in SCRIPTS {
            if of.name() == traffic.name() && is_wanted(name) {
                let rules = Rules::parse(Path::new("bench.lua"), script, Settings::default());
                let policy = rules.and_then(|rules| rules.policy());
                cases.push(Case::new(traffic, name, policy.context(name)?));
            }
        }
    }
    for case in &mut cases {
        case.line.open().with_context(|| title(case.traffic, case.name))?;
        case.line
            .run(Duration::from_millis(arguments.round_ms))
            .with_context(|| title(case.traffic, case.name))?;
    }
    for _ in 0..arguments.rounds.max(1) {
        for case in &mut cases {
            let time = Duration::from_millis(arguments.round_ms);
            let ns = case.line.run(time).with_context(|| title(case.traffic, case.name))?;
            case.rounds.push(ns);
        }
    }
    println!("traffic,rules,ns_per_packet,ns_min,ns_max,rate");
    for Case { traffic, name, rounds, .. } in &mut cases {
        rounds.sort_by(f64::total_cmp);
        let [min, median, max] = [0, rounds.len() / 2, rounds.len() - 1]
            .map(|position| rounds.get(position).copied().unwrap_or(f64::NAN));
        println!(
            "{},\"{name}\",{median:.0},{min:.0},{max:.0},{}",
            traffic.name(),
            traffic.rate(median)
        );
    }
    Ok(())
}

fn title(traffic: Traffic, name: &str) -> String {
    format!("{}, {name}", traffic.name())
}

/// One row of the table.
struct Case {
    traffic: Traffic,
    name: &'static str,
    line: Box<dyn Line>,
    /// Nanoseconds a packet.
    rounds: Vec<f64>,
}

impl Case {
    fn new<P: Policy + 'static>(traffic: Traffic, name: &'static str, policy: P) -> Self {
        let config = Config { flows_max: 1 << 14, half_open_max: 1 << 12, ..Config::default() };
        let line = Box::new(Bench {
            driver: Driver::new(config, policy, 2 * BURST),
            talk: traffic.conversations(),
            turns: Turns::new(FLOWS),
        });
        Self { traffic, name, line, rounds: Vec::new() }
    }
}

/// A bench, whatever its rules.
trait Line {
    /// Opens all connections.
    fn open(&mut self) -> anyhow::Result<()>;
    /// Data on the flows in turn until `time` has been measured; nanoseconds a packet.
    fn run(&mut self, time: Duration) -> anyhow::Result<f64>;
}

struct Bench<P> {
    driver: Driver<P>,
    talk: Conversations,
    turns: Turns,
}

impl<P: Policy> Bench<P> {
    /// Lets the worker take everything that arrives, and checks that all of it left.
    fn turn(&mut self) -> anyhow::Result<Duration> {
        let taken = self.driver.take();
        let counters = self.driver.worker().counters();
        ensure!(counters.dropped() == 0 && counters.balance() == 0, "{counters:?}");
        Ok(taken.spent)
    }
}

impl<P: Policy> Line for Bench<P> {
    fn open(&mut self) -> anyhow::Result<()> {
        let group = BURST / 4;
        for first in (0..FLOWS).step_by(group) {
            for step in 0..HANDSHAKE_STEPS {
                for flow in first..(first + group).min(FLOWS) {
                    let talk = &mut self.talk;
                    self.driver
                        .arrive(|out| talk.handshake(flow, step, out).unwrap_or((Port::A, 0)));
                }
                self.turn()?;
            }
        }
        Ok(())
    }

    fn run(&mut self, time: Duration) -> anyhow::Result<f64> {
        let (mut spent, mut packets) = (Duration::ZERO, 0);
        while spent < time {
            for _ in 0..BURST {
                let flow = self.turns.next();
                let talk = &mut self.talk;
                self.driver.arrive(|out| talk.data(flow, out).unwrap_or((Port::A, 0)));
            }
            spent += self.turn()?;
            packets += BURST;
        }
        Ok(spent.as_nanos() as f64 / packets as f64)
    }
}
