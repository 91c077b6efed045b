//! What can be known to be wrong before a pair is opened.

use std::{fs, time::Duration};

use super::{Mode, OpenError, PairConfig, QUEUES_MAX, drivers, interface::Interface, umem};

/// Whether the numbers make sense.
pub(super) fn config(config: &PairConfig) -> Result<(), OpenError> {
    let wrong = |what| Err(OpenError::Config { a: config.a.clone(), b: config.b.clone(), what });
    if config.a == config.b {
        return Err(OpenError::SameInterface { interface: config.a.clone() });
    }
    if !(1..=PairConfig::WORKERS_MAX).contains(&config.workers) {
        return wrong("the number of workers must be from 1 to 64");
    }
    if !config.ring.is_power_of_two() || !(64..=32768).contains(&config.ring) {
        return wrong("the size of a ring must be a power of two from 64 to 32768");
    }
    if config.frames > 1 << 20 {
        return wrong("a worker can hold at most 1048576 frames");
    }
    if !config.stale.is_zero() && config.stale < Duration::from_millis(10) {
        return wrong("the time after which a worker is stale must be 0 or at least 10 ms");
    }
    Ok(())
}

/// Whether the two can be a wire. Gives the size of a chunk for their MTU.
pub(super) fn interfaces(mode: Mode, a: &Interface, b: &Interface) -> Result<u32, OpenError> {
    // Alternative names can make one interface look like two.
    if a.index == b.index {
        return Err(OpenError::SameInterface { interface: a.name.clone() });
    }
    for Interface { name, up, queues, .. } in [a, b] {
        if !up {
            return Err(OpenError::Down { interface: name.clone() });
        }
        if *queues > QUEUES_MAX {
            return Err(OpenError::TooManyQueues {
                interface: name.clone(),
                queues: *queues,
                queues_max: QUEUES_MAX,
            });
        }
    }
    if a.mtu != b.mtu {
        return Err(OpenError::UnequalMtu {
            a: a.name.clone(),
            mtu_a: a.mtu,
            b: b.name.clone(),
            mtu_b: b.mtu,
        });
    }
    let grain = drivers::buffer_grain(mode, a, b);
    umem::chunk_for(a.mtu, grain).ok_or_else(|| OpenError::MtuTooLarge {
        interface: a.name.clone(),
        mtu: a.mtu,
        mtu_max: umem::mtu_max(grain),
    })
}

/// Asked up front, so that the error names what is missing, and not the call that failed.
pub(super) fn capabilities(interface: &str) -> Result<(), OpenError> {
    const SYS_ADMIN: u64 = 1 << 21;
    const NEEDED: [(&str, u64); 3] =
        [("CAP_NET_ADMIN", 1 << 12), ("CAP_NET_RAW", 1 << 13), ("CAP_BPF", 1 << 39 | SYS_ADMIN)];
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    // Where it cannot be read, the calls themselves will tell.
    let effective = effective.unwrap_or(u64::MAX);
    let missing: Vec<_> =
        NEEDED.iter().filter(|(_, any)| effective & any == 0).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(OpenError::Permission { interface: interface.to_owned(), missing: missing.join(", ") })
}
