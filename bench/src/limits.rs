//! What the machine itself can do: no engine is faster than the memory it works on.

use std::hint::black_box;
use std::time::Duration;

use crate::dice::Dice;
use crate::driver::processor_time;

/// Bytes a second that a thread copies between two buffers larger than the caches, in GB.
#[must_use]
pub fn copy_gb_per_s() -> f64 {
    let from = vec![1_u8; COPIED];
    let mut to = vec![0_u8; COPIED];
    let mut copied = 0.0;
    let begin = processor_time();
    while processor_time() - begin < SPAN {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        copied += COPIED as f64;
    }
    copied / (processor_time() - begin).as_secs_f64() / 1e9
}

/// Nanoseconds of a load that depends on the last one, of `bytes` bytes.
#[must_use]
pub fn load_ns(bytes: usize) -> f64 {
    let lines = bytes / LINE;
    let mut next: Vec<[u32; LINE / 4]> = vec![[0; LINE / 4]; lines];
    // Sattolo's shuffle: one circle through all lines.
    let mut order: Vec<u32> = (0..u32::try_from(lines).unwrap_or(u32::MAX)).collect();
    let mut dice = Dice::new(3);
    for last in (1..lines).rev() {
        let other = usize::try_from(dice.next() % last as u64).unwrap_or(0);
        order.swap(last, other);
    }
    for (at, &to) in order.iter().enumerate() {
        if let Some(line) = next.get_mut(at) {
            line[0] = to;
        }
    }
    let (mut at, mut loads) = (0_u32, 0.0);
    let begin = processor_time();
    while processor_time() - begin < SPAN {
        for _ in 0..10_000 {
            at = next.get(at as usize).map_or(0, |line| line[0]);
        }
        loads += 10_000.0;
    }
    black_box(at);
    (processor_time() - begin).as_nanos() as f64 / loads
}

const COPIED: usize = 64 << 20;
const LINE: usize = 64;
const SPAN: Duration = Duration::from_millis(400);
