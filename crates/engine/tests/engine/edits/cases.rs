//! Cases of the table that need a rule which changes streams.

use tollgate_policy::Verdict;

use super::gate::{Gate, c, down, s, up};
use crate::common::RST;

pub(crate) const SCRIPTS: &[(&str, fn())] = &[
    // What is behind a gap waits, since it could not be changed any more once it had left.
    ("B28", || {
        let mut gate = Gate::new();
        assert_eq!(gate.put(&up(5, 1, "BBBB")), [c(1, 1, "")]);
        gate.rule(|data| data.replace(5..6, "X").unwrap());
        assert_eq!(gate.put(&up(1, 1, "AAAA")), [s(1, 1, "AAAA"), s(5, 1, "BXBB")]);
        assert_eq!(gate.shown(), ["AAAABBBB"]);
        gate.finish();
    }),
    ("F10", || {
        let mut gate = Gate::new();
        gate.rule(|data| data.insert(4, "++++").unwrap());
        assert_eq!(gate.put(&up(1, 1, "abcd")), [s(1, 1, "abcd++++")]);
        assert_eq!(gate.put(&down(1, 9, "")).len(), 1);
        gate.worker.policy_mut().rules.push_back(Box::new(|_, _| Verdict::Reset));
        let rst = |who, seq| (who, seq, 0, RST, String::new());
        assert_eq!(gate.put(&up(5, 1, "evil")), [rst('c', 1), rst('s', 9)]);
        // A straggler is answered at the number that it acknowledges itself.
        assert_eq!(gate.put(&down(1, 9, "?")), [rst('s', 9)]);
        gate.finish();
    }),
];
