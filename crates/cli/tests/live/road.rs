//! Bad roads, for a kernel without netem: between each end and the gate frames are lost and late, so
//! that they overtake one another. The road sees, too, what the gate sends on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::LinkAddr;

use crate::between::{Frames, SIDES, address_of, prepare};
use crate::lab::Lab;

/// The most that the gate may send at once, so the most that may come in.
const MTU: &str = "1500";
/// Frames taken in before those that are due are sent.
const BURST: usize = 64;

/// What happens to TCP frames on one road, in each direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Of a thousand frames, how many are lost.
    pub(crate) lost: u64,
    /// Of a thousand frames, how many are late.
    pub(crate) late: u64,
    /// By at most so much, in us.
    pub(crate) late_max_us: u64,
}

/// Sees every TCP frame that the gate has sent to one end, before the road does anything to it.
pub(crate) type Onlooker = Box<dyn FnMut(&[u8]) + Send>;

/// The roads at both ends; closed on drop.
pub(crate) struct Roads {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    frames: Arc<[AtomicU64; 3]>,
}

impl Roads {
    /// Opens them, the same weather everywhere. There is one onlooker at each end.
    pub(crate) fn new(lab: &Lab, weather: Weather, onlookers: [Onlooker; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let frames = Arc::new([const { AtomicU64::new(0) }; 3]);
        let mut threads = Vec::new();
        for ((side, outer), onlooker) in SIDES.into_iter().zip(onlookers) {
            prepare(lab, side, outer, MTU);
            // What crosses is what was sent: merged frames would be lost together.
            let whole = ["ip", "link", "set", "dev", outer, "gro_max_size", MTU];
            lab.run(side, &whole);
            let silent: Onlooker = Box::new(|_| {});
            for (from, to, onlooker) in [("t1", outer, silent), (outer, "t1", onlooker)] {
                let luck = Luck(0x9e37_79b9 + 2 * threads.len() as u64 + 1);
                let (stop, frames) = (Arc::clone(&stop), Arc::clone(&frames));
                threads.push(lab.spawn(side, move || {
                    let lane = Lane::open(from, to, weather, luck);
                    lane.carry(onlooker, &stop, &frames);
                }));
            }
        }
        Self { stop, threads, frames }
    }

    /// TCP frames carried so far, how many of them were lost, and how many late.
    pub(crate) fn frames(&self) -> [u64; 3] {
        [0, 1, 2].map(|number| self.frames[number].load(Ordering::Relaxed))
    }
}

impl Drop for Roads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the road held to the end");
        }
    }
}

/// One direction of a road.
struct Lane {
    frames: Frames,
    to: LinkAddr,
    weather: Weather,
    luck: Luck,
    /// Late ones, by when they are due; the number keeps equals in order.
    late: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
}

impl Lane {
    fn open(from: &str, to: &str, weather: Weather, luck: Luck) -> Self {
        let (from, to) = (address_of(from), address_of(to));
        Self { frames: Frames::of(&from), to, weather, luck, late: BinaryHeap::new() }
    }

    fn carry(mut self, mut onlooker: Onlooker, stop: &AtomicBool, counts: &[AtomicU64; 3]) {
        let mut buffer = vec![0; 65_536];
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            self.frames.wait(self.due_in());
            for _ in 0..BURST {
                let Some((frame, _)) = self.frames.receive(&mut buffer) else { break };
                let (mut lost, mut late) = (false, false);
                if is_tcp(frame) {
                    onlooker(frame);
                    lost = self.luck.strikes(self.weather.lost);
                    late = !lost && self.luck.strikes(self.weather.late);
                    for (count, happened) in counts.iter().zip([true, lost, late]) {
                        count.fetch_add(happened.into(), Ordering::Relaxed);
                    }
                }
                if late {
                    let delay = Duration::from_micros(self.luck.below(self.weather.late_max_us));
                    number += 1;
                    self.late.push(Reverse((Instant::now() + delay, number, frame.to_vec())));
                } else if !lost {
                    self.frames.send(frame, &self.to);
                }
            }
            while self.due_in().is_zero() {
                let Some(Reverse((_, _, frame))) = self.late.pop() else { break };
                self.frames.send(&frame, &self.to);
            }
        }
    }

    fn due_in(&self) -> Duration {
        let next = self.late.peek().map(|Reverse((due, _, _))| *due);
        next.map_or(Duration::from_millis(50), |due| due.saturating_duration_since(Instant::now()))
    }
}

/// TCP over IPv4 or IPv6, without tags.
fn is_tcp(frame: &[u8]) -> bool {
    match frame {
        [_, _, _, _, _, _, _, _, _, _, _, _, 0x08, 0x00, ip @ ..] => ip.get(9) == Some(&6),
        [_, _, _, _, _, _, _, _, _, _, _, _, 0x86, 0xdd, ip @ ..] => ip.get(6) == Some(&6),
        _ => false,
    }
}

/// Numbers that a seed tells (xorshift64*).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Luck(pub(crate) u64);

impl Luck {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Less than `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Whether what happens to so many of a thousand happens now.
    fn strikes(&mut self, of_thousand: u64) -> bool {
        self.below(1000) < of_thousand
    }
}
