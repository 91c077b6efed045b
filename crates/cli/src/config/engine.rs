//! The configuration in the engine's words, and in the link's.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tollgate_engine as engine;
use tollgate_link::xsk;

use super::{Config, Fail, FastOpen, Follow, Midstream, Mode, Other};

/// Chunks of a worker besides those that its flows may hold: batches and hand-offs under way.
const FRAMES_UNDER_WAY: u32 = 1024;
/// Fragments of an average datagram. A guess: two, since most are just over the MTU.
const FRAGMENTS_PER_DATAGRAM: u32 = 2;

impl Config {
    /// What every worker of a run is told; `workers` and `worker` are set by who starts them.
    #[must_use]
    pub fn engine(&self) -> engine::Config {
        let Self { limits, timeouts, .. } = self;
        engine::Config {
            flows_max: index(limits.flows_max),
            half_open_max: index(limits.half_open_max),
            held: tollgate_tcp::Limits {
                frames: limits.held_frames_max,
                bytes: limits.held_bytes_max,
                extents: limits.held_extents_max,
            },
            held_frames_max: limits.held_frames_worker_max.into(),
            held_bytes_max: limits.held_bytes_worker_max.into(),
            held_extents_max: limits.held_extents_worker_max.into(),
            datagrams_max: index(limits.fragments_max.div_ceil(FRAGMENTS_PER_DATAGRAM)),
            fragments_max: limits.fragments_max.into(),
            timeouts: tollgate_tcp::Timeouts {
                syn_sent: seconds(timeouts.syn_sent_s),
                syn_received: seconds(timeouts.syn_received_s),
                established: seconds(timeouts.established_s),
                half_closed: seconds(timeouts.half_closed_s),
                closing: seconds(timeouts.closing_s),
                time_wait: seconds(timeouts.time_wait_s),
                reset: seconds(timeouts.reset_s),
                zombie: seconds(timeouts.zombie_s),
            },
            midstream: match self.midstream {
                Midstream::Drop => engine::Midstream::Drop,
                Midstream::Reset => engine::Midstream::Reset,
                Midstream::Pass => engine::Midstream::Pass,
                Midstream::Bypass => engine::Midstream::Bypass,
                Midstream::Pickup => engine::Midstream::Pickup,
            },
            remedies: engine::Remedies {
                memory: self.on_memory.engine(),
                asymmetric: self.on_asymmetric.engine(),
                gap_timeout: self.on_gap_timeout.engine(),
                gap: seconds(timeouts.gap_timeout_s),
                unanswered_packets_max: u8::try_from(limits.unanswered_packets_max)
                    .unwrap_or(u8::MAX),
                unanswered: seconds(timeouts.unanswered_s),
            },
            fast_open: match self.fast_open {
                FastOpen::Strip => engine::FastOpen::Strip,
                FastOpen::Allow => engine::FastOpen::Allow,
            },
            shunt: self.shunt.engine(),
            shunt_packets_min: limits.shunt_packets_min.into(),
            follow: match self.follow {
                Follow::AsRules => engine::Follow::AsRules,
                Follow::Always => engine::Follow::Always,
            },
            other: match self.other {
                Other::Kernel | Other::User => engine::OtherTraffic::Pass,
                Other::Drop => engine::OtherTraffic::Drop,
            },
            reports_max: index(limits.events_pending_max),
            alerts_per_second_max: limits.alerts_per_second_max,
            ..engine::Config::default()
        }
    }

    /// The same for a live run: a hash that nobody can foresee.
    #[must_use]
    pub fn engine_live(&self) -> engine::Config {
        let [a, b, c, d, seed] = unforeseeable();
        engine::Config { hash_keys: [a, b, c, d], seed, ..self.engine() }
    }

    /// What a pair of interfaces is opened with.
    #[must_use]
    pub fn pair(&self, a: &str, b: &str, workers: u16) -> xsk::PairConfig {
        xsk::PairConfig {
            workers: workers.into(),
            mode: match self.mode {
                Mode::Auto => xsk::Mode::Auto,
                Mode::Copy => xsk::Mode::Copy,
                Mode::ZeroCopy => xsk::Mode::ZeroCopy,
            },
            frames: self.limits.held_frames_worker_max + FRAMES_UNDER_WAY,
            shunts: self.limits.shunts_max,
            other: match self.other {
                Other::Kernel => xsk::OtherFrames::Kernel,
                Other::User => xsk::OtherFrames::User,
                Other::Drop => xsk::OtherFrames::Drop,
            },
            fail: match self.fail {
                Fail::Wire => xsk::Fail::Wire,
                Fail::Closed => xsk::Fail::Closed,
            },
            ..xsk::PairConfig::new(a, b)
        }
    }
}

/// Five numbers from the system's randomness, by way of the keys that std's hash maps get.
fn unforeseeable() -> [u64; 5] {
    std::array::from_fn(|position| RandomState::new().hash_one(position))
}

const fn seconds(count: u32) -> Duration {
    Duration::from_secs(count as u64)
}

fn index(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_engines_where_both_have_one() {
        let ours = Config::default().engine();
        let theirs = engine::Config::default();
        assert_eq!(ours.timeouts, theirs.timeouts);
        assert_eq!(ours.held, theirs.held);
        assert_eq!(ours.held_bytes_max, theirs.held_bytes_max);
        assert_eq!(ours.held_extents_max, theirs.held_extents_max);
        assert_eq!(ours.midstream, theirs.midstream);
        assert_eq!(ours.follow, theirs.follow);
        assert_eq!(ours.shunt, theirs.shunt);
        assert_eq!(ours.shunt_packets_min, theirs.shunt_packets_min);
        assert_eq!(ours.other, theirs.other);
        assert_eq!(ours.half_open_max, theirs.half_open_max);
    }

    #[test]
    fn no_two_runs_have_the_same_keys() {
        assert_ne!(
            Config::default().engine_live().hash_keys,
            Config::default().engine_live().hash_keys
        );
    }
}
