//! What may be typed: the command line, and the help that teaches it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{CONTROL_DIRECTORY, Flows, MetricsAddress, Midstream, Mode};
use crate::events::{Kinds, Levels};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate",
    version,
    about = "A bump in the wire for TCP: follows every connection, shows its bytes to rules, forwards, drops or resets",
    after_help = EXAMPLES,
    subcommand_required = true,
    arg_required_else_help = true,
    propagate_version = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// More of the program's own log on stderr (-v: info, -vv: debug, -vvv: trace); the variable
    /// TOLLGATE_LOG takes filters such as `tollgate=debug`
    #[arg(short, long, global = true, display_order = 100, action = ArgAction::Count)]
    pub verbose: u8,

    /// Only errors on stderr: no start-up block, no summary
    #[arg(short, long, global = true, display_order = 101, conflicts_with = "verbose")]
    pub quiet: bool,
}

impl Cli {
    /// Reads the command line of a program whose rules are built in. Its help has the program's own
    /// name and does not speak of scripts; whoever names one all the same is told.
    pub(crate) fn of_built_in(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut arguments = arguments.into_iter().peekable();
        let name = arguments.peek().map(Path::new).and_then(Path::file_name);
        let name =
            name.map_or_else(|| "tollgate".into(), |name| name.to_string_lossy().into_owned());
        let without_rules = |command: clap::Command| {
            command.mut_arg("rules", |rules| rules.hide(true)).after_help("")
        };
        let command = Self::command()
            .display_name(name.clone())
            .bin_name(name)
            .about("Tollgate, a bump in the wire for TCP, with rules built in")
            .after_help(EXIT_CODES)
            .mut_subcommand("new", |new| new.hide(true))
            .mut_subcommand("run", without_rules)
            .mut_subcommand("replay", without_rules)
            .mut_subcommand("check", |check| {
                check
                    .about("Look for faults in configurations (.toml), and say where each is")
                    .after_help("")
            });
        let matches = command.get_matches_from(arguments);
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

const EXAMPLES: &str = "\
Examples:
  tollgate new firewall.lua                                      rules to begin with, commented
  tollgate replay --rules firewall.lua -r in.pcap -w out.pcap    no root, no network: try rules on a capture
  tollgate check firewall.lua tollgate.toml                      every fault with its file and line
  tollgate run --pair eth1:eth2 --rules firewall.lua             stand in the wire between two interfaces
  tollgate reload                                                the running one reads firewall.lua again
  curl -s http://127.0.0.1:9460/metrics                          what a running one counts

Exit codes:
  0  done, or stopped by SIGINT or SIGTERM
  1  a fault in what was given: rules, configuration, capture, interface
  2  a command line that cannot be understood";

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or stopped by SIGINT or SIGTERM
  1  a fault in what was given: configuration, capture, interface
  2  a command line that cannot be understood";

/// One of them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stand in the wire: forward between pairs of interfaces, under rules
    Run(RunArgs),
    /// Send a capture through the same engine: same rules, no root, same bytes every time
    Replay(ReplayArgs),
    /// Look for faults in rules (.lua) and configurations (.toml), and say where each is
    Check(CheckArgs),
    /// Write a rule file to begin with
    New(NewArgs),
    /// Make a running one load its rules again, without losing a frame
    Reload(ReloadArgs),
}

/// `tollgate run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    /// Two interfaces that become the ends of one wire; may be given again for more wires
    #[arg(long, value_name = "IF:IF", required = true)]
    pub pair: Vec<PairNames>,

    /// Rules in Lua; without them every connection is accepted, followed and counted
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,

    /// Configuration in TOML; see deploy/tollgate.toml for every key. The command line wins over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Worker threads for each pair, one core each [default: one for each core but one, at most
    /// one for each queue]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: Option<u16>,

    /// How frames reach us. copy: by the kernel, works everywhere. zerocopy: by the card, only
    /// where its driver can. auto: zero-copy where it can be had, else copy [default: auto]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,

    /// Where Prometheus may scrape, or `off` [default: 127.0.0.1:9460]
    #[arg(long, value_name = "ADDR|off")]
    pub metrics: Option<MetricsAddress>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub output: OutputArgs,
}

const RUN_EXAMPLES: &str = "\
Needs root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF. Both interfaces of a pair are taken whole:
what the kernel would do with TCP frames there, Tollgate does. SIGINT or SIGTERM stops cleanly.

Examples:
  tollgate run --pair eth1:eth2 --rules firewall.lua
  tollgate run --pair eth1:eth2 --pair eth3:eth4 --workers 2 --json > events.jsonl
  tollgate run --pair veth-a:veth-b --mode copy --metrics off";

/// `tollgate replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub struct ReplayArgs {
    /// The capture: pcap or pcapng, gzipped or not; Ethernet, raw IP or Linux cooked
    #[arg(short, long, value_name = "IN.pcap")]
    pub read: PathBuf,

    /// Where to write the frames that leave, in order, with their original times; without it the
    /// rules run and nothing is kept
    #[arg(short, long, value_name = "OUT.pcap")]
    pub write: Option<PathBuf>,

    /// Rules in Lua; without them every connection is accepted
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,

    /// Configuration in TOML; what concerns interfaces, cores and metrics is not used
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Engine workers that share the flows, all in one thread: the frames written are the same
    /// for any number
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,

    /// Packets of connections whose beginning is not in the capture [default: drop; pickup if the
    /// rules are about packets only]
    #[arg(long, value_enum)]
    pub midstream: Option<Midstream>,

    /// What to do about checksums. verify: drop what a receiver would. repair: make them right
    /// first, for captures taken on a sender that left them to its card. auto: repair for senders most of whose
    /// first segments are wrong, verify for all others
    #[arg(long, value_enum, default_value_t = Checksums::Auto)]
    pub checksums: Checksums,

    /// Only look: verdicts count, but a rule that writes into packets or data fails
    #[arg(long)]
    pub pass_through: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "documented at its type")]
    pub output: OutputArgs,
}

const REPLAY_EXAMPLES: &str = "\
The clock is the capture's: timeouts run by packet times. After the last packet, what is open ends.
Which frame came in at which port is told by address: the first sender of a pair of addresses is at A.

Examples:
  tollgate replay --rules firewall.lua -r in.pcap -w out.pcap
  tollgate replay --rules firewall.lua -r in.pcap -l debug --pass-through
  tollgate replay --rules firewall.lua -r in.pcap.gz --json | jq 'select(.event == \"alert\")'
  tollgate replay -r in.pcap --midstream pickup --events connections
  tollgate replay -r with-forgeries.pcap --checksums verify";

/// How a replay takes the checksums of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Checksums {
    /// Those of senders that seem to have left them to a card are made right, others are verified
    Auto,
    /// A packet with a wrong one is dropped, as its receiver would
    Verify,
    /// Each is made right before the packet arrives
    Repair,
}

/// `tollgate check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Rules are loaded as a start would load them, and read for what only traffic would find: events, fields, keys and
globals that nobody knows. What may be meant so is a warning; a line with ---@diagnostic disable-line is let be.
Nothing is started and no interface is touched. Exit code 1 if there is any fault.

Examples:
  tollgate check rules/*.lua /etc/tollgate.toml
  tollgate check --strict rules.lua")]
pub struct CheckArgs {
    /// Warnings are faults, too
    #[arg(long)]
    pub strict: bool,

    /// Rules (.lua) and configurations (.toml), any number
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `tollgate new`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is written is commented, good (tollgate check), and ready to be changed. Nothing is written over.

Examples:
  tollgate new
  tollgate new filter.lua --kind http --editor")]
pub struct NewArgs {
    /// Where to
    #[arg(value_name = "FILE", default_value = "rules.lua", value_parser = rule_file)]
    pub file: PathBuf,

    /// What it does
    #[arg(long, value_enum, default_value_t = Kind::Firewall)]
    pub kind: Kind,

    /// Also write what editors with LuaLS need to complete rules and to mark slips: .luarc.json and
    /// .tollgate/library, beside the file
    #[arg(long)]
    pub editor: bool,

    /// Write over what is there
    #[arg(long)]
    pub force: bool,
}

/// What a rule file to begin with does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Who may open a connection to what
    Firewall,
    /// Words in a stream are replaced
    Edit,
    /// Requests, responses and their headers
    Http,
    /// Packets of any protocol, one by one
    Packets,
}

fn rule_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|extension| extension == "lua") {
        Ok(path)
    } else {
        Err(format!("rules have a name that ends in .lua, such as {text}.lua"))
    }
}

/// `tollgate reload`.
#[derive(Debug, Args)]
#[command(after_help = "\
The rule file that it was started with is read again and checked. If anything is wrong with it, the old
rules go on, and what is wrong is said here. SIGHUP does the same, and says it in its log.

Exit codes: 0 the new rules are in force, 1 they are not.

Examples:
  tollgate reload
  tollgate reload --flows move --pid 4711")]
pub struct ReloadArgs {
    /// The process, if more than one runs
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// The rules of connections that live: those they began with, or the new ones [default: as
    /// configured, `[rules] reload`, there]
    #[arg(long, value_enum)]
    pub flows: Option<Flows>,

    /// The directory of the control socket, as configured there
    #[arg(long, value_name = "DIRECTORY", default_value = CONTROL_DIRECTORY)]
    pub control: PathBuf,
}

/// What is printed on stdout.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// One JSON object a line instead of text; the fields are described in docs/events.md
    #[arg(long)]
    pub json: bool,

    /// Which events to print, with commas between them: alerts, logs, connections, all, none
    /// [default: all; for a replay in text: alerts,logs]
    #[arg(long, value_name = "KINDS")]
    pub events: Option<Kinds>,

    /// How loud a line of log must be: debug, info, warn, error, fatal; SECTION=LEVEL for a section
    /// of its own, with commas between them. What rules print is always printed
    #[arg(short = 'l', long, value_name = "LEVELS", default_value = "info")]
    pub log_level: Levels,
}

/// The two names of `--pair IF:IF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairNames {
    /// The interface at port A.
    pub a: String,
    /// The interface at port B.
    pub b: String,
}

impl FromStr for PairNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((a, b)) = text.split_once(':') else {
            return Err("want two interfaces with a colon between them, such as eth1:eth2".into());
        };
        for name in [a, b] {
            // IFNAMSIZ is 16 with the terminating zero; the kernel refuses '/' and spaces too.
            if name.is_empty() || name.len() > 15 || name.contains([':', '/', ' ']) {
                return Err(format!(
                    "\"{name}\" cannot be the name of an interface (1 to 15 characters; \
                     `ip -br link` lists those there are)"
                ));
            }
        }
        if a == b {
            return Err(format!(
                "{a} is given twice: a wire has two ends; name two different interfaces"
            ));
        }
        Ok(Self { a: a.to_owned(), b: b.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_pair_is_two_different_interfaces() {
        assert_eq!(
            "eth1:eth2".parse::<PairNames>(),
            Ok(PairNames { a: "eth1".into(), b: "eth2".into() })
        );
        for bad in ["eth1", "eth1:", ":eth1", "eth1:eth1", "a:b:c", "a/b:c", "sixteen-letters-:b"] {
            assert!(bad.parse::<PairNames>().is_err(), "{bad}");
        }
    }
}
