use tollgate_tcp::reset::{self, Rst};
use tollgate_wire::{Direction, Flags, Seq};

use crate::support::{C, ENDS, Ends, Gate, S, established};

fn bare(to: Direction, seq: u32) -> Rst {
    let base = if to == C { ENDS.client } else { ENDS.server };
    Rst { to, seq: Seq(base + seq), ack: None }
}

// F01
#[test]
fn an_idle_connection_needs_one_rst_each() {
    let mut gate = established();
    let rsts = reset::both(&gate.open().tracker);
    assert_eq!(rsts.as_slice(), [bare(C, 1), bare(S, 1)]);
}

// F02
#[test]
fn what_is_held_does_not_count() {
    let mut gate = established();
    gate.holds(ENDS.c(2, "held"));
    assert_eq!(reset::half(&gate.open().tracker).as_slice(), [bare(C, 1)]);
}

// F03, F05
#[test]
fn with_data_in_flight_the_acknowledged_edge_comes_before_the_forwarded_one() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "forwarde"));
    gate.holds(ENDS.c(10, "held"));
    assert_eq!(reset::half(&gate.open().tracker).as_slice(), [bare(C, 1), bare(C, 9)]);
    gate.passes(ENDS.s(1, "abcd"));
    let all = [bare(C, 1), bare(C, 9), bare(S, 1), bare(S, 5)];
    assert_eq!(reset::both(&gate.open().tracker).as_slice(), all);
}

// F04, F12
#[test]
fn a_straggler_is_answered_at_the_number_that_it_acknowledges() {
    let challenge = ENDS.ack(S, 1, 9).segment();
    assert_eq!(reset::answer(&challenge, S), Some(bare(C, 9)));
    let data = ENDS.c(9, "more").segment();
    assert_eq!(reset::answer(&data, C), Some(bare(S, 1)));
    let no_ack = ENDS.make(C, 9, 0, Flags::PSH, "more").segment();
    let ack = Some(Seq(ENDS.client + 13));
    assert_eq!(reset::answer(&no_ack, C), Some(Rst { to: S, seq: Seq(0), ack }));
    assert_eq!(reset::answer(&ENDS.rst(S, 1).segment(), S), None);
}

// F11
#[test]
fn a_new_syn_is_no_straggler() {
    assert_eq!(reset::answer(&ENDS.syn().segment(), C), None);
}

// F06
#[test]
fn a_client_that_waits_is_told_with_the_right_ack() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn());
    let client = Rst { to: S, seq: Seq(0), ack: Some(Seq(ENDS.client + 1)) };
    assert_eq!(reset::both(gate.half()).as_slice(), [bare(C, 1), client]);
    assert_eq!(reset::half(gate.half()).as_slice(), [bare(C, 1)]);
}

// F07
#[test]
fn a_server_that_waits_is_told_without_an_ack() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn());
    gate.passes(ENDS.syn_ack());
    let client = Rst { ack: Some(Seq(ENDS.client + 1)), ..bare(S, 1) };
    assert_eq!(reset::both(gate.half()).as_slice(), [bare(C, 1), client]);
    gate.passes(Ends { server: 9000, ..ENDS }.syn_ack());
    assert_eq!(reset::both(gate.half()).len(), 3);
}

// F08
#[test]
fn a_fin_that_was_forwarded_counts() {
    let mut gate = established();
    gate.passes(ENDS.fin(C, 1, 1));
    assert_eq!(reset::half(&gate.open().tracker).as_slice(), [bare(C, 1), bare(C, 2)]);
    gate.passes(ENDS.ack(S, 1, 2));
    assert_eq!(reset::half(&gate.open().tracker).as_slice(), [bare(C, 2)]);
}

// F09
#[test]
fn a_signed_connection_cannot_be_reset() {
    let mut gate = Gate::default();
    gate.passes(ENDS.syn().signed());
    assert!(reset::both(gate.half()).is_empty());
    gate.passes(ENDS.syn_ack().signed());
    gate.passes(ENDS.ack(C, 1, 1).signed());
    assert!(reset::both(&gate.open().tracker).is_empty());
}

/// A receiver in a synchronized state, as the table of stacks has it: what it takes for exact, and whether it
/// challenges what is not.
struct Stack {
    name: &'static str,
    /// Offsets that it takes, from its last acknowledgment and from what it expects next.
    from_ack: &'static [i32],
    from_next: &'static [i32],
    challenges: bool,
}

const STACKS: [Stack; 6] = [
    Stack { name: "Linux", from_ack: &[], from_next: &[0], challenges: true },
    Stack { name: "FreeBSD", from_ack: &[0], from_next: &[], challenges: true },
    Stack { name: "FreeBSD RACK", from_ack: &[0, -1], from_next: &[0], challenges: true },
    Stack { name: "XNU", from_ack: &[0, -1], from_next: &[], challenges: true },
    Stack { name: "OpenBSD", from_ack: &[0], from_next: &[0, 1], challenges: false },
    Stack { name: "NetBSD", from_ack: &[], from_next: &[0], challenges: true },
];

impl Stack {
    /// Whether RSTs at these offsets end a receiver that expects `next` and has acknowledged `ack`; it tells
    /// who resets it what it expects, if it challenges, and that is answered.
    fn is_reset_by(&self, rsts: &[Rst], mut ack: Seq, next: Seq) -> bool {
        let takes = |ack: Seq, seq: Seq| {
            self.from_ack.iter().any(|by| seq.distance(ack) == *by)
                || self.from_next.iter().any(|by| seq.distance(next) == *by)
        };
        for rst in rsts {
            if takes(ack, rst.seq) {
                return true;
            }
            if self.challenges {
                ack = next;
                let challenge = ENDS.ack(S, 1, next.0 - ENDS.client).segment();
                if reset::answer(&challenge, S).is_some_and(|rst| takes(ack, rst.seq)) {
                    return true;
                }
            }
        }
        false
    }
}

/// With eight bytes in flight: none of them has arrived, or all have and nothing was said yet, or what was said
/// is still under way. A stack that says nothing to a RST that is not exact needs one of the two.
#[test]
fn the_two_edges_and_the_answer_to_a_challenge_end_every_stack() {
    let mut gate = established();
    gate.passes(ENDS.c(1, "in flight"));
    let rsts = reset::half(&gate.open().tracker);
    assert_eq!(rsts.as_slice(), [bare(C, 1), bare(C, 10)]);
    let at = |offset: u32| Seq(ENDS.client + offset);
    for stack in &STACKS {
        for (ack, next) in [(1, 1), (1, 10), (10, 10)] {
            assert!(stack.is_reset_by(&rsts, at(ack), at(next)), "{} {ack} {next}", stack.name);
        }
        // Nothing in flight: the first alone is exact for all.
        assert!(stack.is_reset_by(&rsts[..1], at(1), at(1)), "{}", stack.name);
    }
    // In the other order, or only one of the two, some would have to be asked.
    let silent = |stack: &Stack| Stack { challenges: false, ..*stack };
    let freebsd = silent(&STACKS[1]);
    assert!(!freebsd.is_reset_by(&rsts[1..], at(1), at(10)));
    assert!(!silent(&STACKS[0]).is_reset_by(&rsts[..1], at(1), at(10)));
}
