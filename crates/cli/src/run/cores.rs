//! Which worker runs where.

use core_affinity::CoreId;

use crate::args::PairNames;
use crate::config::Config;

/// The cores of each pair's workers, in order.
///
/// Worker i of the first pair gets core i, the next pair goes on from there, and at the end it
/// starts again; the configuration may name others.
///
/// # Errors
/// A core that is not there.
pub(crate) fn deal(
    config: &Config,
    pairs: &[PairNames],
) -> anyhow::Result<Vec<Vec<Option<CoreId>>>> {
    let there = core_affinity::get_core_ids().unwrap_or_default();
    let mut chosen = Vec::new();
    for core in &config.cores {
        let id = usize::from(*core);
        match there.iter().find(|core| core.id == id) {
            Some(core) => chosen.push(*core),
            None => anyhow::bail!(
                "core {id} is not there, or not allowed to this process; there are {}",
                there.iter().map(|core| core.id.to_string()).collect::<Vec<_>>().join(", ")
            ),
        }
    }
    let from = if chosen.is_empty() { &there } else { &chosen };
    let mut next = from.iter().copied().cycle();
    let dealt = pairs.iter().map(|pair| {
        let workers = match config.workers {
            0 => automatic(there.len(), queues(&pair.a).max(queues(&pair.b))),
            count => count.into(),
        };
        // A system that tells of no core (a strange sandbox) gets workers that are not pinned.
        (0..workers).map(|_| next.next()).collect()
    });
    Ok(dealt.collect())
}

/// One worker for each core but one, which is for everything else, and at most one for each queue.
fn automatic(cores: usize, queues: usize) -> usize {
    cores.saturating_sub(1).clamp(1, queues.clamp(1, 64))
}

/// Receive queues of an interface; 0 if there is no such, which opening it will tell.
fn queues(interface: &str) -> usize {
    let entries = std::fs::read_dir(format!("/sys/class/net/{interface}/queues"));
    entries.map_or(0, |entries| {
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("rx-"))
            .count()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> PairNames {
        PairNames { a: "no-such-a".into(), b: "no-such-b".into() }
    }

    #[test]
    fn one_core_stays_free_and_no_worker_is_without_a_queue() {
        let counts = [(1, 1), (2, 1), (2, 8), (8, 2), (8, 16), (128, 128), (4, 0)];
        let dealt = counts.map(|(cores, queues)| automatic(cores, queues));
        assert_eq!(dealt, [1, 1, 1, 2, 7, 64, 1]);
    }

    #[test]
    fn pairs_go_on_where_the_one_before_ended() {
        let there = core_affinity::get_core_ids().unwrap();
        let config = Config { workers: 1, ..Config::default() };
        let dealt = deal(&config, &[pair(), pair()]).unwrap();
        let second = there.get(1).unwrap_or(&there[0]);
        assert_eq!(dealt, [[Some(there[0])], [Some(*second)]]);
    }

    #[test]
    fn a_core_that_is_not_there_is_told() {
        let config = Config { cores: vec![9999], ..Config::default() };
        let error = deal(&config, &[pair()]).unwrap_err().to_string();
        assert!(error.starts_with("core 9999 is not there"), "{error}");
    }
}
