//! The configuration: one file, one [`Config`], every knob with its unit, its default and what
//! goes wrong on either side. What has one good value is a constant, not a knob.
//!
//! The command line wins over the file, the file over the defaults. `deploy/tollgate.toml` shows
//! every key with its default; a test holds the two together.

mod engine;
mod metrics_address;
mod read;
mod remedy;
mod shunt;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tollgate_policy::Living;

pub use metrics_address::MetricsAddress;
pub use remedy::{OnRuleError, Remedy};
pub use shunt::Shunt;

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Packets of connections whose beginning was not seen. Default: `drop`.
    pub midstream: Midstream,
    /// Payload of a SYN that asks for Fast Open. Default: `strip`.
    pub fast_open: FastOpen,
    /// Whether TCP is followed. Default: `as_rules`.
    pub follow: Follow,
    /// Frames that are no TCP: ARP, UDP, ICMP… Default: `kernel`.
    pub other: Other,
    /// What becomes of TCP while no worker runs. Default: `wire`.
    pub fail: Fail,
    /// Which connections cross in the XDP program. Default: `asked`.
    pub shunt: Shunt,
    /// What becomes of a connection whose rule fails. Default: `drop_flow`.
    pub on_rule_error: OnRuleError,
    /// What becomes of a connection that there is no room for: its handshake is complete and
    /// `flows_max` reached, or it repeats bytes whose first copy there was no room to remember.
    /// Default: `drop_packet`.
    pub on_memory: Remedy,
    /// What becomes of a connection with a gap that nobody fills for `gap_timeout_s`. Default:
    /// `drop_packet`.
    pub on_gap_timeout: Remedy,
    /// What becomes of a connection of which only one end is heard. Default: `drop_packet`.
    pub on_asymmetric: Remedy,
    /// How frames are exchanged with the kernel. Default: `auto`.
    pub mode: Mode,
    /// Worker threads for each pair of interfaces, 1 to 64; 0: chosen at start (one for each core
    /// but one, at most one for each queue). Too few: one core becomes the limit. More than cores:
    /// workers wait for each other. Default: 0.
    pub workers: u16,
    /// The cores of the workers, in order, as in `[2, 3]`; empty: the first worker on the first
    /// core, and so on. A core that also serves other work, or the card's interrupts in softirq
    /// mode, adds delay. Default: empty.
    pub cores: Vec<u16>,
    /// Where Prometheus may scrape, or `off`. An address that others reach shows them what passes
    /// here. Default: `127.0.0.1:9460`.
    pub metrics: String,
    /// The directory of the control socket, by which `tollgate reload` speaks to a running one, or `off`.
    /// Who may write there may change the rules. Default: `/run/tollgate/control`.
    pub control: String,
    /// Rules.
    pub rules: Rules,
    /// Bounds.
    pub limits: Limits,
    /// Waits.
    pub timeouts: Timeouts,
}

/// How rules are treated as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// What becomes of connections that live while rules are loaded again, unless `--flows` says so.
    /// Default: `keep`.
    pub reload: Flows,
}

/// The rules of connections that are older than they.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Flows {
    /// They keep the rules they began with, to their end (those of the last four reloads at most)
    Keep,
    /// They have the new rules from their next packet on; what the old ones knew of them is forgotten
    Move,
}

impl Flows {
    /// In the words of the policies.
    #[must_use]
    pub const fn living(self) -> Living {
        match self {
            Self::Keep => Living::Keep,
            Self::Move => Living::Move,
        }
    }
}

/// The word for no control socket.
pub const CONTROL_OFF: &str = "off";

/// Where control sockets are if nothing else is said.
pub const CONTROL_DIRECTORY: &str = "/run/tollgate/control";

/// Bounds of one worker. Reaching one is counted, never fatal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections followed at once, 16 to 2^24, about 400 bytes each, reserved at start. Too few:
    /// live ones are given up under load. Too many: memory and slower look-ups. Default: 262144.
    pub flows_max: u32,
    /// Connections still in their handshake, 16 to 2^24; a flood of SYNs evicts only among these.
    /// Too few: slow clients lose their SYN in a flood. Too many: memory. Default: 65536.
    pub half_open_max: u32,
    /// Frames that wait for an earlier one, for each direction of a connection, 1 to 65536. They wait
    /// only where rules may change what they see; elsewhere they leave at once. Too few: a loss on a
    /// fast path costs retransmissions of what had arrived. Too many: one connection can take the
    /// memory of all. Default: 256.
    pub held_frames_max: u32,
    /// Bytes behind a gap that wait or, where frames leave at once, are remembered until it closes, for
    /// each direction of a connection, 1460 to 2^30; never more than a 16th of what is free of
    /// `held_bytes_worker_max`. A connection with a larger window loses what exceeds it behind a gap.
    /// Default: 4194304.
    pub held_bytes_max: u32,
    /// Runs of such bytes without a gap in them, 1 to 65536: more losses than that in one window cost
    /// retransmissions of what had arrived. Default: 64.
    pub held_extents_max: u32,
    /// The frames of all connections of a worker together, 16 to 2^19; each is a chunk that the card
    /// cannot fill. Default: 4096.
    pub held_frames_worker_max: u32,
    /// The bytes of all connections of a worker together, 65536 to 2^32 - 1. Up to twice as much memory.
    /// Default: 67108864.
    pub held_bytes_worker_max: u32,
    /// The runs of all connections of a worker together, 16 to 2^24, some 100 bytes each. Default: 65536.
    pub held_extents_worker_max: u32,
    /// Fragments of IP datagrams that wait for the rest, 0 to 65536. 0: none is ever whole and all
    /// fragmented TCP is dropped. Too many: a flood of fragments takes memory. Default: 1024.
    pub fragments_max: u32,
    /// Connections that cross in the XDP program at once, of all workers of a pair, 16 to 2^24, some 300
    /// bytes each while they do. Too few: the others go through a worker, counted as refused. Default: 65536.
    pub shunts_max: u32,
    /// Packets, both directions together, that a connection must have had to cross in the XDP program, 0 to
    /// 65536; one that ends sooner crosses through a worker, unseen by rules. Too few: connections a second, for a
    /// shunt costs more than some packets. Too many: packets that a worker need not see. Default: 16.
    pub shunt_packets_min: u32,
    /// Packets that one end may send against all rules while the other is not heard, 1 to 255; with
    /// more, for `unanswered_s`, the connection is `on_asymmetric`. Too few: the liar and the hasty
    /// count as such. Too many: the asymmetric wait. Default: 3.
    pub unanswered_packets_max: u32,
    /// Alerts of the engine's own (such as "no connection found") printed a second; the rest is
    /// only counted. 0: none is printed. Too many: a scan floods the log. Default: 10.
    pub alerts_per_second_max: u32,
    /// Events (alerts, logs, connections) that may wait to be printed, 16 to 2^20. Too few: a burst is
    /// lost, and counted. Too many: memory while stdout is stuck. Default: 8192.
    pub events_pending_max: u32,
}

/// How long a connection may be silent in each state before it is forgotten, in seconds, 1 to
/// 2592000 (30 days). Too short cuts those that are alive; too long keeps the dead in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// After the SYN. Default: 60.
    pub syn_sent_s: u32,
    /// After the SYN-ACK. Default: 60.
    pub syn_received_s: u32,
    /// Established and idle. Keep-alives count as life (Linux sends none before 7200 s, and only where asked). Default: 7440.
    pub established_s: u32,
    /// One end has closed, and the other may still send. Default: 7440.
    pub half_closed_s: u32,
    /// Both have closed, the last ACK is missing. Default: 300.
    pub closing_s: u32,
    /// Closed: late copies are still recognized. Default: 60.
    pub time_wait_s: u32,
    /// Ended by an endpoint's RST, which the other may have missed. Default: 130.
    pub reset_s: u32,
    /// Dropped or reset by a rule: its packets are silently dropped for so long. Default: 300.
    pub zombie_s: u32,
    /// A gap that nobody fills while its stream does not move on. With little room left for what waits
    /// (15 of 16 frames of a worker used), 3 at most. Default: 60.
    pub gap_timeout_s: u32,
    /// One end is not heard while the other breaks all rules: how long until the connection is
    /// `on_asymmetric`. Default: 1.
    pub unanswered_s: u32,
}

/// What to do with packets of a connection whose SYN was not seen, such as those that lived before
/// Tollgate started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Midstream {
    /// Drop and alert: nothing passes that was not inspected; connections older than the program break
    Drop,
    /// The same, and a RST to each sender, so that older connections begin anew at once
    Reset,
    /// Let them pass uninspected until both ends have spoken, then follow: what came before is not seen
    Pass,
    /// Let them pass uninspected: nothing breaks, and an attacker who omits the SYN is never seen
    Bypass,
    /// Follow them from here on: nothing breaks, but rules see a stream without its beginning
    Pickup,
}

/// What becomes of data on a SYN (TCP Fast Open, RFC 7413).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FastOpen {
    /// Take it off: the client sends it again after the handshake, a round trip later
    Strip,
    /// Show it to the rules, and let it go with the SYN: a forged address gets data to the server
    Allow,
}

/// Whether TCP connections are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follow {
    /// Unless the rules look at packets only: then TCP crosses like any other protocol, wrong checksums
    /// and packets of no connection included.
    AsRules,
    /// Always: what is wrong for its connection is dropped, whatever the rules look at.
    Always,
}

/// Who carries frames that are no TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Other {
    /// The XDP program passes them to the other interface; they cost no worker's time.
    Kernel,
    /// A worker does; needed where the driver cannot redirect between interfaces.
    User,
    /// Nobody: counted and dropped. Without ARP or neighbour discovery IP soon ends too.
    Drop,
}

/// What the XDP program does with TCP when no worker takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fail {
    /// It crosses uninspected: the wire stays a wire.
    Wire,
    /// It is dropped: nothing passes uninspected.
    Closed,
}

/// How frames are exchanged with the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Zero-copy where the driver can, else copy
    Auto,
    /// The kernel copies each frame: works everywhere
    Copy,
    /// Zero-copy or refuse to start
    #[value(name = "zerocopy")]
    ZeroCopy,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            midstream: Midstream::Drop,
            fast_open: FastOpen::Strip,
            follow: Follow::AsRules,
            other: Other::Kernel,
            fail: Fail::Wire,
            shunt: Shunt::Asked,
            on_rule_error: OnRuleError::DropFlow,
            on_memory: Remedy::DropPacket,
            on_gap_timeout: Remedy::DropPacket,
            on_asymmetric: Remedy::DropPacket,
            mode: Mode::Auto,
            workers: 0,
            cores: Vec::new(),
            metrics: "127.0.0.1:9460".into(),
            control: CONTROL_DIRECTORY.into(),
            rules: Rules::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { reload: Flows::Keep }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows_max: 262_144,
            half_open_max: 65_536,
            held_frames_max: 256,
            held_bytes_max: 4 << 20,
            held_extents_max: 64,
            held_frames_worker_max: 4096,
            held_bytes_worker_max: 64 << 20,
            held_extents_worker_max: 65_536,
            fragments_max: 1024,
            shunts_max: 65_536,
            shunt_packets_min: 16,
            unanswered_packets_max: 3,
            alerts_per_second_max: 10,
            events_pending_max: 8192,
        }
    }
}

/// Those of the engine, where it says why.
impl Default for Timeouts {
    fn default() -> Self {
        let timeouts = tollgate_tcp::Timeouts::default();
        let remedies = tollgate_engine::Remedies::default();
        let seconds = |timeout: Duration| u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX);
        Self {
            syn_sent_s: seconds(timeouts.syn_sent),
            syn_received_s: seconds(timeouts.syn_received),
            established_s: seconds(timeouts.established),
            half_closed_s: seconds(timeouts.half_closed),
            closing_s: seconds(timeouts.closing),
            time_wait_s: seconds(timeouts.time_wait),
            reset_s: seconds(timeouts.reset),
            zombie_s: seconds(timeouts.zombie),
            gap_timeout_s: seconds(remedies.gap),
            unanswered_s: seconds(remedies.unanswered),
        }
    }
}

impl Config {
    /// Says which value is out of its range, if one is.
    ///
    /// # Errors
    /// The range, and what lies outside it.
    pub fn check(&self) -> Result<(), String> {
        let Self { workers, cores, metrics, control, limits, timeouts, .. } = self;
        within((*workers).into(), 0, 64)?;
        if let Some(twice) = (1..cores.len()).find_map(|at| {
            let (before, after) = cores.split_at(at);
            after.first().filter(|core| before.contains(core))
        }) {
            return Err(format!("core {twice} is named twice; each worker wants one of its own"));
        }
        metrics.parse::<MetricsAddress>()?;
        if control != CONTROL_OFF && !control.starts_with('/') {
            return Err(format!("want a path from / on, or \"{CONTROL_OFF}\""));
        }
        within(limits.flows_max, 16, 1 << 24)?;
        within(limits.half_open_max, 16, 1 << 24)?;
        within(limits.held_frames_max, 1, 1 << 16)?;
        within(limits.held_bytes_max, 1460, 1 << 30)?;
        within(limits.held_extents_max, 1, 1 << 16)?;
        within(limits.held_frames_worker_max, 16, 1 << 19)?;
        within(limits.held_bytes_worker_max, 1 << 16, u32::MAX)?;
        within(limits.held_extents_worker_max, 16, 1 << 24)?;
        within(limits.fragments_max, 0, 1 << 16)?;
        within(limits.shunts_max, 16, 1 << 24)?;
        within(limits.shunt_packets_min, 0, 1 << 16)?;
        within(limits.events_pending_max, 16, 1 << 20)?;
        within(limits.unanswered_packets_max, 1, 255)?;
        self.on_asymmetric.suits_asymmetric()?;
        self.on_gap_timeout.suits_gap_timeout()?;
        for seconds in timeouts.all() {
            within(seconds, 1, 2_592_000)?;
        }
        Ok(())
    }
}

impl Timeouts {
    const fn all(&self) -> [u32; 10] {
        [
            self.syn_sent_s,
            self.syn_received_s,
            self.established_s,
            self.half_closed_s,
            self.closing_s,
            self.time_wait_s,
            self.reset_s,
            self.zombie_s,
            self.gap_timeout_s,
            self.unanswered_s,
        ]
    }
}

fn within(value: u32, least: u32, most: u32) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{value} is out of range: want {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_shows_every_key_with_its_default() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/tollgate.toml");
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(Config::parse(&text, path.as_ref()), Ok(Config::default()));
        let example: toml::Table = text.parse().unwrap();
        assert_eq!(example, toml::Table::try_from(Config::default()).unwrap());
    }
}
