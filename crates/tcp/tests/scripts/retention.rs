//! What is remembered of bytes in flight, against a list of all segments: the newest as they are, older
//! ones only as wholes.

use proptest::prelude::*;
use tollgate_tcp::{Copied, Retention};
use tollgate_wire::Seq;

use crate::support::{KEY, cases};

#[derive(Clone, Debug)]
enum Event {
    /// So many bytes leave for the first time.
    Send(usize),
    /// This share, of 16, of what is in flight is acknowledged.
    Acknowledge(usize),
    /// So many of the oldest bytes are not kept any more.
    Demote(usize),
    /// A copy from so far before the end on, of so many bytes, with one changed or none.
    Copy(usize, usize, Option<usize>),
    /// A copy of so many whole segments from one on, by its number before the newest.
    Again(usize, usize, Option<usize>),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let changed = || prop::option::weighted(0.3, 0..40_usize);
    let event = prop_oneof![
        4 => (1..20_usize).prop_map(Event::Send),
        1 => (0..=16_usize).prop_map(Event::Acknowledge),
        1 => (1..60_usize).prop_map(Event::Demote),
        3 => (0..120_usize, 1..40_usize, changed()).prop_map(|(at, len, x)| Event::Copy(at, len, x)),
        3 => (1..9_usize, 1..4_usize, changed()).prop_map(|(at, n, x)| Event::Again(at, n, x)),
    ];
    prop::collection::vec(event, 1..120)
}

/// All that has left, and where it was cut.
#[derive(Debug, Default)]
struct Naive {
    sent: Vec<u8>,
    /// Where each segment begins, in order; the first `digested` of them are known only as wholes.
    cuts: Vec<usize>,
    digested: usize,
    acknowledged: usize,
}

impl Naive {
    /// The first byte that is kept as it is.
    fn first(&self) -> usize {
        self.cuts.get(self.digested).copied().unwrap_or(self.sent.len())
    }

    fn send(&mut self, len: usize, most: usize) {
        while self.sent.len() - self.first() + len > most && self.digested < self.cuts.len() {
            self.digested += 1;
        }
        self.cuts.push(self.sent.len());
        self.sent.extend(
            (0..len).map(|at| u8::try_from((at * 7 + self.cuts.len() * 13) % 251).unwrap()),
        );
    }

    fn demote(&mut self, len: usize) {
        let before = self.first();
        while self.first() < self.sent.len() && self.first() - before < len {
            self.digested += 1;
        }
    }

    fn acknowledge(&mut self, ack: usize) {
        self.acknowledged = self.acknowledged.max(ack);
        while self.cuts.get(1).copied().unwrap_or(self.sent.len()) <= ack && !self.cuts.is_empty() {
            self.cuts.remove(0);
            self.digested = self.digested.saturating_sub(1);
        }
        if self.digested == 0
            && let Some(first) = self.cuts.first_mut()
        {
            *first = ack.max(*first);
        }
    }

    /// What becomes of a copy that begins at `start`, and of how many bytes in front nothing is known.
    fn check(&self, start: usize, copy: &[u8]) -> (Vec<u8>, usize) {
        let end = (start + copy.len()).min(self.sent.len());
        let old = self.first().clamp(start, start + copy.len());
        let whole = |at: usize| at == self.first() || self.cuts[..self.digested].contains(&at);
        let known = whole(start) && whole(old) && copy[..old - start] == self.sent[start..old];
        let mut becomes = copy.to_vec();
        if old < end {
            becomes[old - start..end - start].copy_from_slice(&self.sent[old..end]);
        }
        (becomes, if known { 0 } else { old - start })
    }
}

fn run(isn: Seq, most: usize, events: &[Event]) -> Result<usize, TestCaseError> {
    let (mut naive, mut retention) = (Naive::default(), Retention::new(isn));
    let seq = |at: usize| isn + u32::try_from(at).unwrap();
    let mut by_digest = 0;
    for event in events {
        let (start, end, changed) = match *event {
            Event::Send(len) => {
                let at = naive.sent.len();
                naive.send(len, most);
                retention.record(seq(at), &naive.sent[at..], u32::try_from(most).unwrap(), &KEY);
                continue;
            }
            Event::Acknowledge(share) => {
                let in_flight = naive.sent.len() - naive.acknowledged;
                naive.acknowledge(naive.acknowledged + in_flight * share / 16);
                retention.acknowledged(seq(naive.acknowledged));
                continue;
            }
            Event::Demote(len) => {
                let before = naive.first();
                naive.demote(len);
                prop_assert_eq!(retention.demote(len, &KEY), naive.first() - before);
                continue;
            }
            Event::Copy(before, len, changed) => {
                let start = naive.sent.len().saturating_sub(before).max(naive.acknowledged);
                (start, start + len, changed)
            }
            Event::Again(before, count, changed) => {
                let at = naive.cuts.len().saturating_sub(before);
                let cut = |at: usize| naive.cuts.get(at).copied().unwrap_or(naive.sent.len());
                (cut(at), cut(at + count), changed)
            }
        };
        let mut copy: Vec<u8> =
            (start..end).map(|at| naive.sent.get(at).copied().unwrap_or(0)).collect();
        if let Some(at) = changed.filter(|at| *at < copy.len()) {
            copy[at] ^= 0x80;
        }
        let (becomes, unknown) = naive.check(start, &copy);
        let rewritten = becomes != copy;
        by_digest += usize::from(unknown == 0 && start < naive.first());
        let outcome = retention.check(seq(start), &mut copy, &KEY);
        prop_assert_eq!(&copy, &becomes);
        prop_assert_eq!(
            outcome,
            match u32::try_from(unknown).unwrap() {
                0 if rewritten => Copied::Rewritten,
                0 => Copied::Verified,
                bytes => Copied::Unknown { bytes, rewritten },
            }
        );
        prop_assert_eq!(retention.len(), naive.sent.len() - naive.first());
        prop_assert!(retention.len() <= most);
    }
    Ok(by_digest)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn copies_are_known_as_they_are_to_a_list_of_all_segments(
        isn in prop_oneof![Just(u32::MAX - 60), any::<u32>()],
        most in 20..100_usize,
        events in events(),
    ) {
        run(Seq(isn), most, &events)?;
    }
}

#[test]
fn a_copy_of_what_is_not_kept_is_known_by_its_digest() {
    let all: Vec<Event> = [5, 6, 7, 8, 9].map(Event::Send).into();
    let again =
        |before, count, changed| [&all[..], &[Event::Again(before, count, changed)]].concat();
    for (events, known) in [
        (again(5, 1, None), 1),
        // Several together, and with what is kept as it is.
        (again(5, 2, None), 1),
        (again(5, 4, None), 1),
        (again(5, 1, Some(0)), 0),
        ([&all[..], &[Event::Copy(35, 4, None)]].concat(), 0),
        ([&all[..], &[Event::Copy(34, 4, None)]].concat(), 0),
    ] {
        assert_eq!(run(Seq(7), 20, &events).unwrap(), known, "{events:?}");
    }
}
