//! One connection, both ends, in 72 bytes.
//!
//! An end counts *positions*: 0 is its SYN, 1 its first byte, the last its FIN. Sequence numbers are
//! positions added to a number that the [pattern](crate::pattern) knows. What may be sent next follows
//! from the script and from what has come in, so nothing is remembered of it.

use tollgate_link::Port;

/// What every connection does: so many times a request, and an answer to it; then it closes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    /// Bytes of a request, at least 1.
    pub(crate) request: u32,
    /// Bytes of an answer.
    pub(crate) response: u32,
    /// How often.
    pub(crate) exchanges: u32,
    /// Bytes of a segment.
    pub(crate) mss: u32,
    /// Bytes in flight of one end.
    pub(crate) window: u32,
    /// Segments are acknowledged one by one, or every second.
    pub(crate) ack_every: u8,
    /// Nobody sends data but who calls [`push`](super::Connections::push).
    pub(crate) by_hand: bool,
    /// By hand: the server sends every stamp back.
    pub(crate) echo: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    /// The next position to send. Goes back to `acked` when it has waited too long.
    pub(crate) sent: u32,
    /// Behind the last position that was ever sent.
    pub(crate) high: u32,
    /// The peer awaits this one.
    pub(crate) acked: u32,
    /// All before it has come in.
    pub(crate) received: u32,
    /// One run of bytes behind a gap; empty if both are the same.
    pub(crate) ahead: (u32, u32),
    /// Acknowledgments of the same position in a row.
    pub(crate) duplicates: u8,
    /// Segments that came in and were not acknowledged.
    pub(crate) unacknowledged: u8,
    /// Waits in the queue of those who may send again.
    pub(crate) is_queued: bool,
    pub(crate) owes_ack: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Free,
    Opening,
    Open,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) ends: [End; 2],
    /// How many connections this place had before.
    pub(crate) generation: u32,
    /// When the first SYN left, in microseconds.
    pub(crate) began_us: u32,
    /// When anything was acknowledged last, in milliseconds.
    pub(crate) heard_ms: u32,
    pub(crate) tries: u8,
    pub(crate) stage: Stage,
    /// An entry of it waits in the queue of timers.
    pub(crate) is_timed: bool,
    pub(crate) has_fin: bool,
}

impl Flow {
    pub(crate) const fn end(&self, port: Port) -> &End {
        let [a, b] = &self.ends;
        match port {
            Port::A => a,
            Port::B => b,
        }
    }

    pub(crate) const fn end_mut(&mut self, port: Port) -> &mut End {
        let [a, b] = &mut self.ends;
        match port {
            Port::A => a,
            Port::B => b,
        }
    }

    /// The position behind the last that the end at `port` may send now. `closing`: what has been begun is
    /// finished, and nothing else is begun.
    pub(crate) fn limit(&self, script: &Script, port: Port, closing: bool) -> u32 {
        let end = self.end(port);
        match port {
            Port::B if end.received == 0 => return 0,
            Port::A if end.received == 0 => return 1,
            _ => {}
        }
        if script.by_hand {
            return end.high.max(1);
        }
        let exchanges = self.exchanges(script, closing);
        let got = end.received - 1;
        match port {
            Port::A => {
                let answered = got.checked_div(script.response).unwrap_or(exchanges);
                let all = exchanges * script.request;
                let is_over = got >= exchanges * script.response;
                let data = (answered.saturating_add(1)).min(exchanges) * script.request;
                1 + data + u32::from(is_over && data == all)
            }
            Port::B => {
                let asked = (got / script.request).min(exchanges);
                let is_over = got > exchanges * script.request;
                1 + asked * script.response + u32::from(is_over)
            }
        }
    }

    /// The position of the end's FIN.
    pub(crate) fn fin(&self, script: &Script, port: Port, closing: bool) -> u32 {
        let each = if port == Port::A { script.request } else { script.response };
        1 + each * self.exchanges(script, closing)
    }

    /// Whether both have said all, and know that it arrived.
    pub(crate) fn is_over(&self, script: &Script, closing: bool) -> bool {
        !script.by_hand
            && self.stage == Stage::Open
            && Port::BOTH.iter().all(|&port| self.end(port).acked > self.fin(script, port, closing))
    }

    fn exchanges(&self, script: &Script, closing: bool) -> u32 {
        if !closing {
            return script.exchanges;
        }
        let data = self.end(Port::A).high.saturating_sub(1 + u32::from(self.has_fin));
        data.div_ceil(script.request).clamp(1, script.exchanges)
    }
}

impl End {
    /// Takes in what lies from `from` to `to`. False if it is nothing new, or had to be left out.
    pub(crate) fn take(&mut self, from: u32, to: u32) -> bool {
        if to <= self.received {
            return false;
        }
        if from <= self.received {
            self.received = to;
            if self.ahead.0 <= to {
                self.received = to.max(self.ahead.1);
                self.ahead = (0, 0);
            }
            return true;
        }
        let (begin, end) = self.ahead;
        if begin == end {
            self.ahead = (from, to);
        } else if from <= end && to >= begin {
            self.ahead = (begin.min(from), end.max(to));
        } else {
            return false;
        }
        true
    }

    pub(crate) const fn has_unacknowledged(&self) -> bool {
        self.acked < self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        let (mss, window) = (1460, 14_600);
        Script {
            request: 100,
            response: 1000,
            exchanges: 3,
            mss,
            window,
            ack_every: 2,
            by_hand: false,
            echo: false,
        }
    }

    #[test]
    fn a_flow_is_small() {
        assert!(size_of::<Flow>() <= 72, "{}", size_of::<Flow>());
    }

    #[test]
    fn an_end_may_send_what_the_script_says_and_no_more() {
        let script = script();
        let mut flow = Flow::default();
        assert_eq!(flow.limit(&script, Port::A, false), 1, "a SYN");
        assert_eq!(flow.limit(&script, Port::B, false), 0, "nothing before a SYN");
        flow.end_mut(Port::B).received = 1;
        assert_eq!(flow.limit(&script, Port::B, false), 1, "a SYN");
        flow.end_mut(Port::A).received = 1;
        assert_eq!(flow.limit(&script, Port::A, false), 101, "the first request");
        flow.end_mut(Port::B).received = 101;
        assert_eq!(flow.limit(&script, Port::B, false), 1001, "its answer");
        flow.end_mut(Port::A).received = 3001;
        assert_eq!(flow.limit(&script, Port::A, false), 302, "all requests and a FIN");
        flow.end_mut(Port::B).received = 302;
        assert_eq!(flow.limit(&script, Port::B, false), 3002, "all answers and a FIN");
    }

    #[test]
    fn who_closes_early_finishes_the_exchange() {
        let script = script();
        let mut flow = Flow::default();
        *flow.end_mut(Port::A) = End { sent: 150, high: 150, received: 1001, ..End::default() };
        assert_eq!(flow.limit(&script, Port::A, true), 201, "the second request is finished");
        *flow.end_mut(Port::A) = End { sent: 201, high: 201, received: 2001, ..End::default() };
        assert_eq!(flow.limit(&script, Port::A, true), 202, "then comes the FIN");
        flow.end_mut(Port::A).high = 202;
        flow.has_fin = true;
        assert_eq!(flow.limit(&script, Port::A, true), 202, "and nothing else");
    }

    #[test]
    fn one_run_behind_a_gap_is_kept() {
        let mut end = End { received: 1, ..End::default() };
        assert!(end.take(11, 21));
        assert!(end.take(21, 31));
        assert!(!end.take(51, 61), "there is no room for a second");
        assert_eq!(end.received, 1);
        assert!(end.take(1, 11));
        assert_eq!((end.received, end.ahead), (31, (0, 0)));
        assert!(!end.take(1, 11), "nothing new");
    }
}
