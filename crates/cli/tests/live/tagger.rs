//! VLANs for a kernel without them: a thread between each end and the gate puts 802.1Q tags on frames
//! and takes them off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::between::{Frames, SIDES, address_of, prepare};
use crate::lab::{Lab, Side};

/// Room for the tags within the lab's 1500 bytes.
const MTU: &str = "1400";
const VLAN: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];

/// A tagger at each end of the lab; stopped on drop.
pub(crate) struct Tagged {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Tagged {
    /// Puts both ends behind the given VLANs, the outer one first: two are an 802.1ad service tag and
    /// an 802.1Q one.
    pub(crate) fn new(lab: &Lab, vlans: &[u16]) -> Self {
        let tags = tags(vlans);
        let stop = Arc::new(AtomicBool::new(false));
        let threads = SIDES
            .into_iter()
            .map(|(side, outer)| {
                prepare(lab, side, outer, MTU);
                let (tags, stop) = (tags.clone(), Arc::clone(&stop));
                lab.spawn(side, move || carry(outer, &tags, &stop))
            })
            .collect();
        Self { stop, threads }
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "the tagger did its work to the end"
            );
        }
    }
}

/// The bytes that go between the MAC addresses and the EtherType.
fn tags(vlans: &[u16]) -> Vec<u8> {
    let outermost = vlans.len().saturating_sub(1);
    let kinds = (0..vlans.len()).map(|place| VLAN[usize::from(place < outermost)]);
    kinds.zip(vlans).flat_map(|(kind, id)| [kind, id.to_be_bytes()]).flatten().collect()
}

/// Carries frames until told to stop.
fn carry(outer: &str, tags: &[u8], stop: &AtomicBool) {
    let frames = Frames::of_all();
    let (inside, outside) = (address_of("t1"), address_of(outer));
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        frames.wait(Duration::from_millis(100));
        while let Some((frame, from)) = frames.receive(&mut buffer) {
            if from.ifindex() == inside.ifindex() {
                frames.send(&tagged(frame, tags), &outside);
            } else if from.ifindex() == outside.ifindex() {
                frames.send(&untagged(frame), &inside);
            }
        }
    }
}

fn tagged(frame: &[u8], tags: &[u8]) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    [macs, tags, rest].concat()
}

/// Without the tags that are still there: the kernel has taken the outermost into its metadata.
fn untagged(frame: &[u8]) -> Vec<u8> {
    let (macs, mut rest) = frame.split_at(12);
    while VLAN.iter().any(|kind| rest.starts_with(kind)) {
        rest = &rest[4..];
    }
    [macs, rest].concat()
}

/// Watches an interface with tcpdump until it has seen `count` frames that `filter` takes.
pub(crate) fn witness(
    lab: &Lab,
    side: Side,
    interface: &'static str,
    filter: String,
) -> JoinHandle<bool> {
    const COUNT: &str = "20";
    let mut child = lab.within(side, move || {
        std::process::Command::new("timeout")
            .args([
                "20",
                "tcpdump",
                "--immediate-mode",
                "-n",
                "-i",
                interface,
                "-c",
                COUNT,
                &filter,
            ])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("tcpdump is there")
    });
    // It needs a moment to open its socket; nothing tells when it has.
    std::thread::sleep(Duration::from_millis(500));
    std::thread::spawn(move || child.wait().expect("a child").success())
}
