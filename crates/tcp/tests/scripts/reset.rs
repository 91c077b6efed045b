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
