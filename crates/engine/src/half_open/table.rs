//! The table of half-open connections.
//!
//! A flood makes a great many of them, and nearly all say the same few things, so they rest in it
//! [short](Short); what is more than that, and every one over IPv6, has a box of its own. Whoever
//! works on one works on the whole record: the last that was asked for lies on the desk, and is put back
//! when another is.

use std::time::Duration;

use ahash::RandomState;
use arrayvec::ArrayVec;
use tollgate_wire::{FlowKey, Timestamp};

use super::HalfOpen;
use super::short::Short;
use crate::flow_table::Keyed;
use crate::store::{Store, TIMERS_MAX};

/// Half-open connections and their timers.
#[derive(Debug)]
pub(crate) struct HalfOpens {
    store: Store<Entry>,
    /// While one is here, what the table has of it is out of date but for its key.
    desk: Option<(u32, HalfOpen)>,
}

#[derive(Debug)]
enum Entry {
    Short(Short),
    Long(Box<HalfOpen>),
}

impl Keyed for Entry {
    fn key(&self) -> FlowKey {
        match self {
            Self::Short(short) => short.key(),
            Self::Long(record) => record.about.key(),
        }
    }

    fn is(&self, key: &FlowKey) -> bool {
        match self {
            // What rests short is over IPv4.
            Self::Short(short) => key.short() == short.key,
            Self::Long(record) => record.about.is(key),
        }
    }

    fn touch(&self) {
        if let Self::Short(short) = self {
            short.touch();
        }
    }
}

impl Entry {
    fn of(record: HalfOpen) -> Self {
        Short::of(&record).map_or_else(|| Self::Long(Box::new(record)), Self::Short)
    }
}

impl HalfOpens {
    pub(crate) fn new(records_max: usize, hasher: RandomState) -> Self {
        Self { store: Store::new(records_max, hasher), desk: None }
    }

    pub(crate) fn find(&self, hash: u64, key: &FlowKey) -> Option<u32> {
        self.store.find(hash, key)
    }

    /// A record, to work on.
    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut HalfOpen> {
        if self.desk.as_ref().is_none_or(|(on_desk, _)| *on_desk != number) {
            self.clear_desk();
            if let Entry::Short(short) = self.store.get(number)? {
                self.desk = Some((number, short.full()));
            }
        }
        match &mut self.desk {
            Some((_, record)) => Some(record),
            None => match self.store.get_mut(number)? {
                Entry::Long(record) => Some(record),
                // It would be on the desk.
                Entry::Short(_) => None,
            },
        }
    }

    /// Takes a record in, to be looked at after `timeout`; none if there is no room.
    pub(crate) fn open(
        &mut self,
        hash: u64,
        record: HalfOpen,
        timeout: Duration,
        now: Timestamp,
    ) -> Option<u32> {
        self.clear_desk();
        if record.about.is_ipv6() {
            return self.store.open(hash, Entry::of(record), timeout, now).ok();
        }
        let bare = Entry::Short(Short::bare(record.about.key));
        let number = self.store.open(hash, bare, timeout, now).ok()?;
        self.desk = Some((number, record));
        Some(number)
    }

    /// Takes a record and its timer away.
    pub(crate) fn close(&mut self, number: u32) -> Option<HalfOpen> {
        let on_desk = self.desk.take_if(|(on_desk, _)| *on_desk == number);
        let resting = self.store.close(number)?;
        Some(match (on_desk, resting) {
            (Some((_, record)), _) => record,
            (None, Entry::Short(short)) => short.full(),
            (None, Entry::Long(record)) => *record,
        })
    }

    pub(crate) fn arm(&mut self, number: u32, deadline: Timestamp, now: Timestamp) {
        self.store.arm(number, deadline, now);
    }

    /// See [`Store::due`].
    pub(crate) fn due(&mut self, due: &mut ArrayVec<u32, TIMERS_MAX>, now: Timestamp) {
        self.store.due(due, now);
    }

    /// Loads a record that is to be closed later.
    pub(crate) fn touch(&self, number: u32) {
        self.store.touch(number);
    }

    /// Loads where it is indexed; it should have been touched a while ago.
    pub(crate) fn touch_index(&self, number: u32) {
        self.store.touch_index(number);
    }

    /// All numbers that may belong to a record.
    pub(crate) fn numbers(&self) -> std::ops::Range<u32> {
        self.store.numbers()
    }

    /// Whether there is a record of this number.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.store.get(number).is_some()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.store.is_full()
    }

    /// Whether little room is left: one in sixteen.
    pub(crate) fn is_pressed(&self) -> bool {
        self.store.is_pressed()
    }

    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }

    fn clear_desk(&mut self) {
        let Some((number, record)) = &self.desk else { return };
        let Some(entry) = self.store.get_mut(*number) else { return };
        if let Some(short) = Short::of(record) {
            *entry = Entry::Short(short);
            self.desk = None;
        } else if let Some((_, record)) = self.desk.take() {
            *entry = Entry::Long(Box::new(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use tollgate_link::Port;
    use tollgate_policy::{FlowId, Verdict};
    use tollgate_tcp::{Handshake, Segment};
    use tollgate_wire::{Direction, Endpoint, Flags, Options, Packet, Seq, Vlans};

    use super::*;
    use crate::identity::Identity;
    use crate::neighbours::Neighbours;
    use crate::unseen::Unseen;
    use crate::zombie::Zombie;

    /// A guard, not a goal: whoever makes them longer shall know it.
    #[test]
    fn a_resting_half_open_connection_takes_88_bytes() {
        assert_eq!(size_of::<Option<Entry>>(), 88);
    }

    fn syn(rng: &mut SmallRng, flags: Flags) -> Segment {
        let options = Options {
            mss: rng.random_bool(0.8).then(|| rng.random()),
            window_scale: rng.random_bool(0.8).then_some(7),
            sack_permitted: rng.random(),
            ..Options::default()
        };
        let (seq, ack) = (Seq(rng.random()), Seq(rng.random()));
        Segment { seq, ack, flags, len: 0, window: rng.random(), options }
    }

    /// A packet of an IPv4 or IPv6 connection.
    fn packet(rng: &mut SmallRng) -> Packet<Vec<u8>> {
        let mut frame = vec![2; 12];
        let tcp = [15, 160, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0];
        if rng.random_bool(0.8) {
            let mut ip =
                [0x45, rng.random(), 0, 40, 0, 0, 0, 0, 9, 6, 0, 0, 198, 18, 0, 7, 198, 19, 0, 1];
            (ip[8], ip[15]) = (rng.random_range(1..9), rng.random());
            let words =
                ip.as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word)));
            let sum: u32 = words.sum();
            let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
            ip[10..12].copy_from_slice(&(!sum).to_be_bytes());
            frame.extend([8, 0]);
            frame.extend(ip);
        } else {
            frame.extend([0x86, 0xdd, 0x60, 0, rng.random(), 0, 0, 20, 6, 64]);
            let host = |host| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host).octets();
            frame.extend(host(rng.random_range(2..9)));
            frame.extend(host(1));
        }
        frame.extend(tcp);
        Packet::parse(frame).unwrap()
    }

    fn record(rng: &mut SmallRng, number: u64, neighbours: &mut Neighbours) -> HalfOpen {
        let packet = packet(rng);
        let (headers, now) = (packet.headers(), Timestamp(rng.random_range(0..1 << 60)));
        let port = if rng.random() { Port::A } else { Port::B };
        let mut about = Identity::new(FlowId(number), headers, headers.source, port);
        for _ in 0..rng.random_range(1..4) {
            about.received(Direction::ToServer, &packet, port, neighbours, now);
        }
        let mut record = HalfOpen::new(about, Handshake::open(&syn(rng, Flags::SYN)).unwrap());
        record.note_terms(Direction::ToServer, &syn(rng, Flags::SYN));
        record
    }

    /// What a worker may do to a record, odd things among them.
    fn change(rng: &mut SmallRng, record: &mut HalfOpen) {
        match rng.random_range(0..16) {
            0 => record.reset = true,
            1 => record.about.zombie = Some(Box::new(Zombie::of(Verdict::Reset, Timestamp(3)))),
            2 => record.unseen = Some(Unseen::default()),
            3 => record.about.tag = rng.random(),
            4 => record.about.settled.to_client.packets += rng.random_range(0..2),
            5 => record.about.count(Direction::ToServer, rng.random_range(0..70_000), Timestamp(7)),
            6 => record.about.over = true,
            7 => record.about.released = true,
            8 => record.early = Some(Seq(4)),
            9 => record.about.routes.to_client.port = record.about.routes.to_server.port,
            10 => record.about.ttl.to_client = rng.random(),
            11 => record.note_terms(Direction::ToClient, &syn(rng, Flags::SYN | Flags::ACK)),
            12 => record.forwarded = true,
            13 => record.about.unseen = true,
            _ => {
                let mut answer = syn(rng, Flags::SYN | Flags::ACK);
                answer.ack = record.handshake.client_isn() + 1;
                // One of too many is refused.
                record.reset |= record.handshake.segment(Direction::ToClient, &answer).is_err();
            }
        }
    }

    #[test]
    fn it_keeps_what_a_plain_map_keeps() {
        let mut rng = SmallRng::seed_from_u64(11);
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let mut neighbours = Neighbours::new(hasher.clone());
        let mut table = HalfOpens::new(50, hasher);
        // By number, told in full: no record can be copied.
        let mut oracle: Vec<Option<(FlowKey, String)>> = (0..50).map(|_| None).collect();
        let (mut short, mut long) = (0, 0);
        for step in 0..40_000 {
            let number = rng.random_range(0..50_usize);
            let known = table.get_mut(u32::try_from(number).unwrap()).is_some();
            assert_eq!(known, oracle[number].is_some());
            if known && rng.random_bool(0.1) {
                let closed = table.close(u32::try_from(number).unwrap()).unwrap();
                assert_eq!(format!("{closed:?}"), oracle[number].take().unwrap().1);
            } else if known {
                let record = table.get_mut(u32::try_from(number).unwrap()).unwrap();
                let (key, told) = oracle[number].as_mut().unwrap();
                assert_eq!(format!("{record:?}"), *told);
                change(&mut rng, record);
                *told = format!("{record:?}");
                let hash = table.store.hash(key);
                assert_eq!(table.find(hash, key), u32::try_from(number).ok());
            } else {
                let record = record(&mut rng, step, &mut neighbours);
                let (key, told) = (record.about.key(), format!("{record:?}"));
                let hash = table.store.hash(&key);
                if table.find(hash, &key).is_none() {
                    let timeout = Duration::from_secs(9);
                    let number = table.open(hash, record, timeout, Timestamp(0)).unwrap();
                    assert!(table.has(number));
                    oracle[number as usize] = Some((key, told));
                }
            }
            match table.store.get(u32::try_from(number).unwrap()) {
                Some(Entry::Short(_)) => short += 1,
                Some(Entry::Long(_)) => long += 1,
                None => {}
            }
        }
        assert_eq!(table.len(), oracle.iter().flatten().count());
        assert!(short > 3000 && long > 3000, "{short} short, {long} long");
        let vlans = Vlans::default();
        let ends = [1, 2].map(|host| Endpoint::new(IpAddr::V4(Ipv4Addr::new(9, 9, 9, host)), 1));
        let stranger = FlowKey::new(ends[0], ends[1], vlans).0;
        assert_eq!(table.find(table.store.hash(&stranger), &stranger), None);
    }
}
