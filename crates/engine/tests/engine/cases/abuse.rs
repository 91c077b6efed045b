//! B: copies that differ.

use tollgate_link::Port;

use super::{
    Script, acks, alerts, c, damaged, established, established_with_timestamps, leave, pass,
    pass_all, s, signed, stamp, stay, up, with,
};
use crate::common::{ACK, CLIENT_ISN, Frame, Gate, PSH, Seen, small};

pub(super) const SCRIPTS: &[Script] = &[
    // The table names the source of the sequence, which is not here, and gives what comes of it. These
    // are eighteen segments from which first-wins makes exactly that: nine with holes between them, eight
    // that overlap those from before, behind, within and around, and the byte before all of them.
    ("B15", || {
        const STEPS: [(u32, &str); 18] = [
            (2, "AAA"),
            (6, "BB"),
            (8, "CCC"),
            (12, "D"),
            (15, "EE"),
            (17, "FFF"),
            (20, "GG"),
            (22, "HH"),
            (24, "I"),
            (3, "JJJJ"),
            (8, "KKK"),
            (11, "LLL"),
            (14, "MMM"),
            (18, "N"),
            (19, "OO"),
            (21, "P"),
            (24, "QQ"),
            (1, "0"),
        ];
        const READ: &str = "0AAAJBBCCCLDLMEEFFFGGHHIQ";
        let mut gate = established();
        let left: Vec<Seen> =
            STEPS.iter().flat_map(|(seq, text)| gate.put(&c(*seq, text))).collect();
        assert_eq!(up(&mut gate), READ);
        let mut covered = [false; READ.len()];
        for seen in &left {
            let at = (seen.seq - CLIENT_ISN - 1) as usize;
            let range = at..at + seen.payload.len();
            assert_eq!(seen.payload, READ.as_bytes()[range.clone()], "what leaves at {at}");
            covered[range].fill(true);
        }
        assert!(covered.iter().all(|covered| *covered), "the receiver gets all of it: {left:?}");
    }),
    ("B18", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "EVILDATA"));
        leave(&mut gate, &c(1, "GOODDATA"), "EVILDATA");
        assert_eq!(up(&mut gate), "EVILDATA");
        assert_eq!(alerts(&mut gate), 1);
    }),
    // The row wants an alert as well. We judge that wrong: a sender whose ACK was lost sends what is
    // acknowledged again, in peace (case A04), and with what it could be compared is kept to the
    // cumulative ACK only, beyond which its receiver reads no copy of it (RFC 9293 section 3.10.7.4).
    ("B19", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "XXXXXXXX"), acks(9)]);
        for again in ["YYYYYYYY", "XXXXXXXX"] {
            leave(&mut gate, &c(1, again), "");
        }
        assert_eq!((up(&mut gate).as_str(), alerts(&mut gate)), ("XXXXXXXX", 0));
    }),
    ("B20", || {
        let mut gate = established();
        pass_all(&mut gate, &[c(1, "AAAA"), c(9, "XXXX")]);
        let mut sack = vec![1, 1, 5, 10];
        sack.extend((CLIENT_ISN + 9).to_be_bytes());
        sack.extend((CLIENT_ISN + 13).to_be_bytes());
        let selective = Frame { options: sack, ..acks(5) }.bytes();
        gate.worker.link_mut().inject(Port::B, &selective);
        gate.worker.poll(gate.now);
        assert_eq!(gate.worker.link_mut().sent(Port::A), [selective]);
        leave(&mut gate, &c(9, "YYYY"), "XXXX");
        pass(&mut gate, &c(5, "BBBB"));
        leave(&mut gate, &c(9, "YYYY"), "XXXX");
        assert_eq!(up(&mut gate), "AAAABBBBXXXX");
    }),
    // A verdict is never pending between two packets; what waits is what has a hole before it.
    ("B21", || {
        let mut gate = established();
        pass(&mut gate, &c(2, "XXXXXXXX"));
        leave(&mut gate, &c(2, "YYYYYYYY"), "XXXXXXXX");
        pass(&mut gate, &c(1, "_"));
        assert_eq!(up(&mut gate), "_XXXXXXXX");
        let mut gate = Gate::editing(small());
        gate.establish();
        for text in ["XXXXXXXX", "YYYYYYYY"] {
            assert_eq!(gate.put(&c(2, text)), [c(2, text).asked(1)]);
        }
        let fill = c(1, "_");
        assert_eq!(gate.put(&fill), [fill.crossed(), c(2, "XXXXXXXX").crossed()]);
        assert_eq!(up(&mut gate), "_XXXXXXXX");
    }),
    ("B22", || {
        let mut gate = established();
        assert_eq!(gate.put_bytes(Port::A, &damaged(&c(1, "EVIL"))), []);
        pass(&mut gate, &c(1, "GOOD"));
        assert_eq!(up(&mut gate), "GOOD");
    }),
    ("B23", || {
        let mut gate = established();
        let short = Frame { ttl: 1, ..c(1, "GOOD") };
        assert_eq!(gate.put(&short), [Seen { ttl: 63, ..short.crossed() }]);
        leave(&mut gate, &c(1, "EVIL"), "GOOD");
        assert_eq!(up(&mut gate), "GOOD");
    }),
    ("B24", || {
        let mut gate = established_with_timestamps();
        stay(&mut gate, &stamp(c(1, "JUNK"), 0, 2000));
        pass(&mut gate, &stamp(c(1, "REAL"), 1001, 2000));
        assert_eq!(up(&mut gate), "REAL");
    }),
    ("B25", || {
        let mut gate = established();
        stay(&mut gate, &signed(c(1, "JUNK")));
        pass(&mut gate, &c(1, "REAL"));
        assert_eq!(up(&mut gate), "REAL");
    }),
    ("B26", || {
        let mut gate = established();
        let (first, second) = ("1".repeat(39), "2".repeat(59));
        pass(&mut gate, &s(1, &first));
        let both = first + &"2".repeat(20);
        leave(&mut gate, &s(1, &second), &both);
        assert_eq!(super::down(&mut gate), both);
    }),
    ("B27", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "AAAA"));
        // The receiver has lost the first, so the second must leave.
        leave(&mut gate, &c(1, "BBBB"), "AAAA");
        assert_eq!(up(&mut gate), "AAAA");
    }),
    // A million in the table; the cost of one does not depend on how many came before.
    ("B29", || {
        let mut gate = established();
        gate.policy().writes = false;
        pass_all(&mut gate, &[c(1, "AB"), c(4, "DE")]);
        for _ in 0..10_000 {
            leave(&mut gate, &c(1, "x"), "A");
            leave(&mut gate, &c(2, "y"), "B");
            leave(&mut gate, &c(4, "z"), "D");
            leave(&mut gate, &c(5, "z"), "E");
        }
        assert_eq!(gate.worker.gauges().held_bytes, 2);
        pass(&mut gate, &c(3, "C"));
        assert_eq!(up(&mut gate), "ABCDE");
        assert!(gate.worker.gauges().retained_bytes <= 5);
    }),
    ("B30", || {
        let mut gate = established();
        pass(&mut gate, &c(1, "AAAA"));
        let low = Frame { seq: CLIENT_ISN - 1, ..c(1, "??zzzzBBBB") };
        assert_eq!(gate.put(&low), [with(&c(1, ""), "AAAABBBB")]);
        assert_eq!(up(&mut gate), "AAAABBBB");
    }),
];

/// The frames of the table carry PSH, as its preface says.
#[test]
fn frames_of_the_table_are_pushed() {
    assert_eq!(c(1, "x").flags, PSH | ACK);
}
