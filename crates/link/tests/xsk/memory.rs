//! Frames and the memory they lie in.

use std::time::Duration;

use tollgate_link::{
    Frame, Link, Port,
    xsk::{Pair, XskFrame},
};

use crate::config;
use crate::lab::Lab;

#[test]
fn larger_frames_have_larger_chunks() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    for port in ["a", "b"] {
        lab.ip_gate(&["link", "set", "dev", port, "mtu", "3000"]);
    }
    let (pair, mut links) = Pair::open(&config()).unwrap();
    assert_eq!(pair.memory(), pair.frames() * 4096);
    let frame = links.first_mut().unwrap().frame().unwrap();
    assert_eq!(frame.capacity(), 4096 - 256);
    links.first_mut().unwrap().release(frame);
}

#[test]
fn frames_can_be_forged_until_memory_is_short_and_none_is_lost() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&config()).unwrap();
    let link = links.first_mut().unwrap();
    let filled = link.census().filled;
    assert_eq!(filled, 2 * 512, "both fill rings are full");

    let mut frames: Vec<_> = std::iter::from_fn(|| link.frame()).collect();
    assert_eq!(frames.len() as u64, pair.frames() as u64 - filled, "the reserve included");
    assert!(link.frame().is_none());
    let mut addresses: Vec<_> = frames.iter().map(XskFrame::address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), frames.len(), "each is another chunk");

    let mut frame = frames.pop().unwrap();
    assert!(frame.as_ref().is_empty());
    assert!(!frame.set_len(frame.capacity() + 1));
    assert!(frame.set_len(frame.capacity()));
    frame.as_mut().fill(0x5a);
    assert!(frame.as_ref().iter().all(|byte| *byte == 0x5a));
    assert_eq!(frame.as_ref().len(), 2048 - 256);
    link.release(frame);

    // One that is dropped is counted, and comes back with the next turn.
    drop(frames.pop());
    assert_eq!(link.counts().orphaned, 1);
    let held = link.census().held;
    link.wait(Duration::ZERO);
    assert_eq!(link.census().held, held - 1);
    assert!(link.census().balances());

    // An empty one is not sent, since the kernel would never give it back.
    let mut empty = vec![frames.pop().unwrap()];
    assert_eq!(link.transmit(Port::A, &mut empty), 1);
    assert_eq!(link.counts().refused, 1);
    for frame in frames {
        link.release(frame);
    }
    assert_eq!(link.census().held, 0);
    assert!(link.census().balances());
}

#[test]
fn a_frame_outlives_its_pair() {
    let Some(lab) = Lab::new(1) else { return };
    lab.enter_gate();
    let (pair, mut links) = Pair::open(&config()).unwrap();
    let mut frame = links.first_mut().unwrap().frame().unwrap();
    assert!(frame.set_len(64));
    drop(links);
    drop(pair);
    frame.as_mut().fill(7);
    assert_eq!(frame.as_ref(), [7; 64]);
}
