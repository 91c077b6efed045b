//! What a worker is told at its start.

use tollgate_tcp::{Limits, Timeouts};

use crate::remedy::Remedies;

/// Bounds and choices of one worker. The defaults suit a machine with a few gigabytes to spare.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Workers that share the traffic, 1 or more.
    pub workers: usize,
    /// Which of them this is, counted from 0.
    pub worker: usize,
    /// Who owns a flow.
    pub sharding: Sharding,
    /// Established connections at most; beyond, new ones are refused. About 400 bytes each.
    pub flows_max: usize,
    /// Half-open connections at most; beyond, a random one gives way.
    pub half_open_max: usize,
    /// What one direction of a flow may hold back behind a gap.
    pub held: Limits,
    /// Frames that all flows of the worker together may hold. Each is a frame the link cannot
    /// receive into, so keep it well below the link's frames; too low, and reordering costs
    /// retransmissions.
    pub held_frames_max: u64,
    /// Bytes that all flows of the worker together may hold behind gaps, in frames or as copies. The
    /// memory for copies is up to twice as much.
    pub held_bytes_max: u64,
    /// Runs of bytes behind gaps, of all flows of the worker together. Each costs some 100 bytes
    /// besides its own.
    pub held_extents_max: u64,
    /// Bytes in flight that are remembered, of all flows of the worker together, so that a second
    /// copy of them leaves equal to the first. The memory is up to twice as much.
    pub retained_bytes_max: u64,
    /// The same for one direction of a flow. Below the widest window in use, a retransmission of
    /// what is older is a [`Trouble::Memory`](crate::Trouble).
    pub retained_direction_bytes_max: u32,
    /// Datagrams that may wait for fragments.
    pub datagrams_max: usize,
    /// Fragments that may wait, in all.
    pub fragments_max: u64,
    /// How long a connection may be silent.
    pub timeouts: Timeouts,
    /// Payload of SYNs.
    pub fast_open: FastOpen,
    /// TCP packets of no connection.
    pub midstream: Midstream,
    /// Which connections may be shunted.
    pub shunt: Shunt,
    /// Packets, of both directions together, that a connection must have had to be shunted. A shunt costs the link
    /// some system calls at its beginning and its end; one of fewer packets crosses here, unseen by rules.
    pub shunt_packets_min: u64,
    /// What becomes of connections that cannot be treated as they should be.
    pub remedies: Remedies,
    /// Whether TCP is followed at all.
    pub follow: Follow,
    /// Whether checksums of which a sender on this machine has left the rest to its network card are
    /// completed in packets of no followed connection, too. Right on a wire; a replay leaves them as
    /// they were captured.
    pub complete_checksums: bool,
    /// Whether what rules make leaves in one order with all other frames, whatever the port: for a
    /// replay, whose capture has one order only. It costs a call of the link for each.
    pub in_order: bool,
    /// Whether the ends are a recording. They have never seen what rules change and cannot answer what we
    /// say: their acknowledgments are of the bytes as they were, nothing is told to them twice, a RST neither, and
    /// each packet leaves as itself when all its bytes do.
    pub recorded_ends: bool,
    /// What is not TCP.
    pub other: OtherTraffic,
    /// Frames taken from each port, and from each other worker, in a turn. More make cache misses
    /// overlap, fewer make the turn short.
    pub batch_max: usize,
    /// Reports that may wait to be fetched.
    pub reports_max: usize,
    /// Alerts of the engine's own (not those of rules) in a second; more are counted only.
    pub alerts_per_second_max: u32,
    /// The longest IP packet either port sends, in bytes. A reassembled datagram beyond it leaves in
    /// fragments. For a replay, whose captures hold packets that a network card had merged, use
    /// `u32::MAX`.
    pub mtu: u32,
    /// Key of the flow table's hash: random, and the same in all workers of a run.
    pub hash_keys: [u64; 4],
    /// Seed for choosing a half-open connection to give up.
    pub seed: u64,
    /// Whether connections are reported as they begin, are established and end.
    pub report_connections: bool,
}

/// Who owns a flow when there are several workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharding {
    /// The worker that the flow's hash names; packets that arrive elsewhere are handed over. Right
    /// wherever the two directions of a flow may reach different queues.
    #[default]
    Hash,
    /// The worker at which it arrives: for network cards that are *known* to bring both directions
    /// of a flow to one queue. Fragments are then put together where they arrive, and what they
    /// make is looked up there; so is the flow that an ICMP error quotes, which no card brings to
    /// the right queue.
    Queue,
}

/// What to do with the payload of a SYN that has the Fast Open option (RFC 7413). Without the
/// option, no SYN leaves with payload; a SYN-ACK never does, and its sender sends it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FastOpen {
    /// Take it away: the client sends it again after the handshake, as it does when the server
    /// declines.
    #[default]
    Strip,
    /// Show it to the rules, and let it go with the first SYN.
    Allow,
}

/// What to do with a TCP packet of no connection that is no SYN, and with an ICMP error about one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Midstream {
    /// Drop it, with an alert: Haka's way.
    #[default]
    Drop,
    /// The same, and tell its sender with a RST that the connection is over, some a second.
    Reset,
    /// Let it cross, unseen by rules, until both ends have spoken; then follow the connection.
    Pass,
    /// Let it cross, unseen by rules, and all that follow.
    Bypass,
    /// Follow the connection from here on.
    Pickup,
}

/// Which connections may cross without being received, or be dropped so: see
/// [`Verdict::Shunt`](tollgate_policy::Verdict::Shunt).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shunt {
    /// None, whatever rules say.
    Never,
    /// Those of which a rule says so, and those that were refused and go on.
    #[default]
    Asked,
    /// Also those of which no rule can see anything between their beginning and their end. It is not the
    /// default, since without rules, too, a connection is guarded against forged segments.
    Unwatched,
}

/// Whether TCP connections are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// Unless the policy says [`Interest::STATELESS`](tollgate_policy::Interest::STATELESS): then TCP
    /// crosses like any other protocol.
    #[default]
    AsRules,
    /// Whatever the policy says.
    Always,
}

/// What to do with frames that are not TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum OtherTraffic {
    #[default]
    Pass,
    Drop,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 1,
            worker: 0,
            sharding: Sharding::Hash,
            flows_max: 1 << 20,
            half_open_max: 1 << 16,
            held: Limits::default(),
            held_frames_max: 1024,
            held_bytes_max: 64 << 20,
            held_extents_max: 1 << 16,
            // 10 Gbit/s in flight for a tenth of a second.
            retained_bytes_max: 128 << 20,
            // Linux offers 6 MB at most, unless told otherwise.
            retained_direction_bytes_max: 8 << 20,
            datagrams_max: 256,
            fragments_max: 512,
            timeouts: Timeouts::default(),
            fast_open: FastOpen::Strip,
            midstream: Midstream::Drop,
            shunt: Shunt::Asked,
            shunt_packets_min: 16,
            remedies: Remedies::default(),
            follow: Follow::AsRules,
            complete_checksums: true,
            in_order: false,
            recorded_ends: false,
            other: OtherTraffic::Pass,
            // A guess: lookups in batches of 32 cost least with a million flows, see the
            // measurements of the flow table; 64 leave room for what is not a lookup.
            batch_max: 64,
            reports_max: 4096,
            alerts_per_second_max: 100,
            mtu: 1500,
            hash_keys: [0; 4],
            seed: 0,
            report_connections: false,
        }
    }
}
