//! Segments of both sides with any flags and options, at any number near one that matters: nothing
//! panics, and what the receivers may read of what left is what was shown.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tollgate_wire::{Direction, Flags, Options, Timestamp, Timestamps};

use crate::support::{C, ENDS, Fate, Gate, Packet, S, cases, gaps};

#[derive(Clone, Debug)]
struct Wild {
    way: Direction,
    seq: u32,
    ack: u32,
    flags: u16,
    window: u16,
    len: usize,
    /// A hole in time before it, in milliseconds.
    pause: u32,
    timestamp: Option<u32>,
    fast_open: bool,
    signed: bool,
    scale: Option<u8>,
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        12 => 0..40_u32,
        1 => (-5..0_i32).prop_map(i32::cast_unsigned),
        1 => 65_500..65_600_u32,
        1 => any::<u32>(),
    ]
}

fn flags() -> impl Strategy<Value = u16> {
    let usual = [Flags::ACK, Flags::ACK | Flags::PSH, Flags::ACK | Flags::FIN];
    let control = [Flags::SYN, Flags::SYN | Flags::ACK, Flags::RST, Flags::RST | Flags::ACK];
    prop_oneof![
        12 => prop::sample::select(usual.to_vec()).prop_map(|flags| flags.bits()),
        2 => prop::sample::select(control.to_vec()).prop_map(|flags| flags.bits()),
        1 => 0..512_u16,
    ]
}

fn wild() -> impl Strategy<Value = Wild> {
    let way = prop::bool::ANY.prop_map(|server| if server { S } else { C });
    let window = prop_oneof![Just(65_535_u16), 0..50_u16, any::<u16>()];
    let len = prop_oneof![0..16_usize, Just(1400)];
    let pause = prop_oneof![8 => Just(0_u32), 1 => 0..2000_u32, 1 => any::<u32>()];
    let options = (
        prop::option::of(number()),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.02),
        prop::option::weighted(0.2, any::<u8>()),
    );
    (way, number(), number(), flags(), window, len, pause, options).prop_map(
        |(way, seq, ack, flags, window, len, pause, options)| {
            let (timestamp, fast_open, signed, scale) = options;
            Wild { way, seq, ack, flags, window, len, pause, timestamp, fast_open, signed, scale }
        },
    )
}

fn wilds() -> impl Strategy<Value = Vec<Wild>> {
    prop::collection::vec(wild(), 1..60)
}

fn packet(wild: &Wild, fill: u8) -> Packet {
    let flags = Flags::from_bits_truncate(wild.flags);
    let text = char::from(fill).to_string().repeat(wild.len);
    let mut packet = ENDS.make(wild.way, wild.seq, wild.ack, flags, &text).window(wild.window);
    packet.options = Options {
        timestamps: wild.timestamp.map(|value| Timestamps { value, echo: 0 }),
        fast_open: wild.fast_open,
        signed: wild.signed,
        window_scale: wild.scale,
        ..Options::default()
    };
    packet
}

/// What receivers of the first and of the last copy read in one direction of one connection.
#[derive(Default)]
struct Readers {
    maps: [BTreeMap<u32, u8>; 2],
}

impl Readers {
    fn read(&mut self, start: u32, packet: &Packet) {
        let at = packet.segment().data_seq().0.wrapping_sub(start);
        for (position, &byte) in (at..).zip(&packet.bytes) {
            self.maps[0].entry(position).or_insert(byte);
            self.maps[1].insert(position, byte);
        }
    }

    fn streams(&self) -> [Vec<u8>; 2] {
        self.maps.each_ref().map(|map| (0..).map_while(|at| map.get(&at).copied()).collect())
    }
}

fn play(gate: &mut Gate, list: &[Wild]) -> Result<(), TestCaseError> {
    let mut readers = [Readers::default(), Readers::default()];
    let mut generation = gate.reopened;
    for (wild, fill) in list.iter().zip((b'A'..=b'z').cycle()) {
        gate.now = Timestamp(gate.now.nanos() + u64::from(wild.pause) * 1_000_000);
        let fate = gate.packet(packet(wild, fill));
        if gate.reopened != generation {
            generation = gate.reopened;
            readers = [Readers::default(), Readers::default()];
        }
        let packets = match fate {
            Fate::Left(packets) => packets,
            Fate::Early(packet) => vec![packet],
            _ => continue,
        };
        for packet in &packets {
            prop_assert!(
                packet.bytes.is_empty() || !packet.flags.intersects(Flags::SYN | Flags::RST)
            );
            if packet.bytes.is_empty() {
                continue;
            }
            let start = gate.open().tracker.start(packet.direction).0;
            readers[usize::from(packet.direction == S)].read(start, packet);
        }
        if !packets.iter().all(|packet| packet.bytes.is_empty()) {
            for (way, readers) in [(C, &readers[0]), (S, &readers[1])] {
                for stream in readers.streams() {
                    prop_assert_eq!(&stream, &gate.open().streams[way].shown);
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_wild_opens_anything_unseen(list in wilds(), gap in gaps()) {
        play(&mut Gate { gap, ..Gate::default() }, &list)?;
    }

    #[test]
    fn nothing_wild_in_an_open_connection_leaves_unseen(list in wilds(), gap in gaps()) {
        play(&mut Gate { gap, ..crate::support::established() }, &list)?;
    }

    #[test]
    fn nothing_wild_with_timestamps_leaves_unseen(list in wilds(), gap in gaps()) {
        play(&mut Gate { gap, ..crate::support::established_with_timestamps() }, &list)?;
    }

    #[test]
    fn nothing_wild_panics_in_a_connection_picked_up(list in wilds(), gap in gaps()) {
        let mut gate = Gate { pickup: true, gap, ..Gate::default() };
        for (wild, fill) in list.iter().zip((b'A'..=b'z').cycle()) {
            gate.packet(packet(wild, fill));
        }
    }
}
