//! The program under test: started in the gate, read through its metrics, stopped by signal.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::lab::{Lab, Side};
use crate::scramble;

/// How long a start may take; attaching and filling the rings takes some 0.1 s.
const START_MAX: Duration = Duration::from_secs(20);
/// How long a stop may take.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A worker's counters reach the page within two of its quarters of a second.
const PUBLISHED: Duration = Duration::from_millis(700);

const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");

/// What decides in a program.
#[derive(Clone, Copy, Debug)]
enum RulesOf<'a> {
    /// A script's text.
    Lua(&'a str),
    /// In Rust: the program is this one, started once more for that "test".
    BuiltIn(&'static str),
}

const METRICS: &str = "127.0.0.1:9460";

/// A test machine is a busy one, where a worker may wait for its core for longer than the heartbeat
/// allows; then frames would cross uninspected. These tests are about those that are inspected.
const CONFIG: &str = "fail = 'closed'\n";

/// A running `tollgate run --pair a0:b0`, ended on drop.
pub(crate) struct Program {
    child: Option<Child>,
    /// Rules, configuration, and what it prints: into files, for a pipe would fill up, and a
    /// program that cannot print does not end.
    directory: tempfile::TempDir,
}

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";

/// What it said and how it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The end of each output: what failed usually stands there.
impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr } = self;
        writeln!(f, "exit code {code:?}, stderr:\n{}\nstdout:\n{}", tail(stderr), tail(stdout))
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = match lines.iter().position(|line| line.contains("panicked at")) {
        Some(panic) => panic,
        None => lines.len().saturating_sub(30),
    };
    lines[from..].join("\n")
}

impl Program {
    /// Starts it, and waits until its metrics can be read: by then the wire is closed.
    pub(crate) fn start(lab: &Lab, rules: &str, workers: u16) -> Self {
        Self::start_configured(lab, rules, workers, CONFIG)
    }

    /// The same with another configuration.
    pub(crate) fn start_configured(
        lab: &Lab,
        rules: &str,
        workers: u16,
        config: &'static str,
    ) -> Self {
        Self::spawn_configured(lab, RulesOf::Lua(rules), workers, config, &[]).started(lab)
    }

    /// The program with the rules of `scramble`.
    pub(crate) fn start_scrambler(lab: &Lab, workers: u16) -> Self {
        Self::start_built_in(lab, "scramble::the_program_with_the_scrambler", workers)
    }

    /// The program with rules in Rust, which a "test" of this binary makes.
    pub(crate) fn start_built_in(lab: &Lab, test: &'static str, workers: u16) -> Self {
        Self::spawn_configured(lab, RulesOf::BuiltIn(test), workers, CONFIG, &[]).started(lab)
    }

    fn started(self, lab: &Lab) -> Self {
        let mut program = self;
        let deadline = Instant::now() + START_MAX;
        while lab.within(Side::Gate, scrape).is_none() {
            if program.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None))) {
                panic!("it ended at once: {:?}", program.collect());
            }
            if Instant::now() > deadline {
                panic!("no metrics after {START_MAX:?}: {:?}", program.stop());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        program
    }

    /// Starts it and does not wait.
    pub(crate) fn spawn(
        lab: &Lab,
        rules: &str,
        workers: u16,
        more: &'static [&'static str],
    ) -> Self {
        Self::spawn_configured(lab, RulesOf::Lua(rules), workers, CONFIG, more)
    }

    fn spawn_configured(
        lab: &Lab,
        rules: RulesOf<'_>,
        workers: u16,
        settings: &'static str,
        more: &'static [&'static str],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the rules");
        let config = directory.path().join("tollgate.toml");
        std::fs::write(&config, settings).expect("the configuration can be written");
        let [stdout, stderr] = [STDOUT, STDERR]
            .map(|name| File::create(directory.path().join(name)).expect("a file for the output"));
        let workers = workers.to_string();
        let config = config.to_str().expect("a plain name");
        let mut arguments = vec!["run", "--pair", "a0:b0", "--workers", &workers];
        arguments.extend(["--config", config]);
        arguments.extend(more);
        let mut command = match rules {
            RulesOf::Lua(text) => {
                let path = directory.path().join("rules.lua");
                std::fs::write(&path, text).expect("the rules can be written");
                let mut command = Command::new(BINARY);
                command.args(&arguments).arg("--rules").arg(path);
                command
            }
            RulesOf::BuiltIn(test) => {
                let mut command = Command::new(std::env::current_exe().expect("it runs"));
                command.args(["--exact", test]).args(["--ignored", "--nocapture"]);
                command.env(scramble::ARGUMENTS, arguments.join("\n"));
                command
            }
        };
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // A child inherits the namespace of the thread that made it.
        let child = lab.within(Side::Gate, move || command.spawn().expect("the program starts"));
        Self { child: Some(child), directory }
    }

    /// The metrics, with all in them that happened before the call.
    pub(crate) fn metrics(&self, lab: &Lab) -> Metrics {
        std::thread::sleep(PUBLISHED);
        let said = || [STDOUT, STDERR].map(|name| tail(&self.printed(name))).join("\n");
        let text = lab.within(Side::Gate, scrape);
        let text = text.unwrap_or_else(|| panic!("it shows no metrics, and said: {}", said()));
        Metrics::parse(&text)
    }

    /// Puts another text into its file of rules.
    pub(crate) fn rewrite(&self, rules: &str) {
        let path = self.directory.path().join("rules.lua");
        std::fs::write(path, rules).expect("the rules can be written");
    }

    /// `tollgate reload`, and what came of it.
    pub(crate) fn reload(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(["reload", "--pid", &self.id().to_string()]).args(arguments);
        command.output().expect("the program starts")
    }

    /// Sends it a signal that does not end it.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "it is still running");
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// SIGTERM, and what came of it.
    pub(crate) fn stop(self) -> Ended {
        self.stop_by("TERM")
    }

    /// Another signal; `KILL` gives it no chance to tidy up.
    pub(crate) fn stop_by(mut self, signal: &str) -> Ended {
        let status = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "it was still running");
        self.collect()
    }

    /// Waits for the end that it comes to by itself.
    pub(crate) fn wait(mut self) -> Ended {
        self.collect()
    }

    fn collect(&mut self) -> Ended {
        let mut child = self.child.take().expect("collected once");
        let deadline = Instant::now() + STOP_MAX;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                _ if Instant::now() > deadline => {
                    let _ = child.kill();
                    let _ = child.wait();
                    panic!("it did not end within {STOP_MAX:?}: {}", tail(&self.printed(STDERR)));
                }
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        Ended { code: status.code(), stdout: self.printed(STDOUT), stderr: self.printed(STDERR) }
    }

    /// All events of connections of which `phase` was told more than once.
    pub(crate) fn twice(&self, phase: &str) -> Vec<String> {
        let printed = self.printed(STDOUT);
        let events = || printed.lines().filter_map(|line| Some((line, connection(line)?)));
        let mut told = BTreeMap::new();
        for (line, connection) in events() {
            if line.split_whitespace().nth(1) == Some(phase) {
                *told.entry(connection).or_insert(0) += 1;
            }
        }
        let twice = |connection| told.get(connection).is_some_and(|times| *times > 1);
        events().filter(|event| twice(event.1)).map(|event| event.0.to_owned()).collect()
    }

    fn printed(&self, name: &str) -> String {
        let bytes = std::fs::read(self.directory.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The client's end in the line of an event.
fn connection(line: &str) -> Option<&str> {
    line.split_once(" -> ")?.0.split_whitespace().last()
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn scrape() -> Option<String> {
    let mut stream = TcpStream::connect(METRICS).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// A page of metrics.
#[derive(Debug)]
pub(crate) struct Metrics {
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    fn parse(text: &str) -> Self {
        let samples = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| {
                let (name, value) = line.rsplit_once(' ')?;
                Some((name.to_owned(), value.parse().ok()?))
            })
            .collect();
        Self { samples }
    }

    /// The sum over all samples of that name whose labels contain every one of `labels`, which are
    /// written as on the page: `port="a"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let of_name = |sample: &str| {
            sample
                .strip_prefix(name)
                .filter(|rest| rest.is_empty() || rest.starts_with('{'))
                .is_some_and(|rest| labels.iter().all(|label| rest.contains(label)))
        };
        let mut found = self.samples.iter().filter(|(sample, _)| of_name(sample)).peekable();
        assert!(found.peek().is_some(), "no metric {name} {labels:?} in {:#?}", self.samples);
        found.map(|(_, value)| value).sum()
    }
}
