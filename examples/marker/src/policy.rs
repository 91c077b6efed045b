//! The rules: a class of service by port, and one server only that may be asked for names.

use std::collections::VecDeque;

use tollgate::policy::{FrameEdit, Injected, Interest, Policy, Reports, Route, Verdict};

use crate::datagram::{Ipv4, unreachable};

const TCP: u8 = 6;
const UDP: u8 = 17;
const DNS: u16 = 53;
const SSH: u16 = 22;

/// Expedited forwarding (RFC 3246): for names and for who types.
const EXPEDITED: u8 = 46 << 2;
/// Lower effort (RFC 8622): for what does not say that it is anything else.
const LOWER_EFFORT: u8 = 1 << 2;

/// One worker's rules.
#[derive(Debug)]
pub(crate) struct Marker {
    /// Who may be asked for names.
    names: [u8; 4],
    /// Answers that are to be sent when the event is over.
    answers: VecDeque<Injected>,
}

impl Marker {
    pub(crate) const fn new(names: [u8; 4]) -> Self {
        Self { names, answers: VecDeque::new() }
    }
}

impl Policy for Marker {
    /// `STATELESS`: no connection is followed for these rules, so TCP costs no more than UDP does.
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATAGRAM | Interest::INJECT | Interest::STATELESS
    }

    fn receive_datagram(&mut self, frame: &mut FrameEdit<'_>, _reports: &mut Reports) -> Verdict {
        let (answer, from) = (unreachable(frame.bytes()), frame.from());
        let Some(mut ip) = Ipv4::of(frame.bytes_mut()) else { return Verdict::Accept };
        let (protocol, Some(ports)) = (ip.protocol(), ip.ports()) else { return Verdict::Accept };
        if protocol == UDP && ports[1] == DNS && ip.destination() != Some(self.names) {
            // It leaves by the port where the question came in, so it came in at the other.
            let made = |frame| Injected { frame, from: from.other(), route: Route::Send };
            self.answers.extend(answer.map(made));
            return Verdict::DropPacket;
        }
        match protocol {
            TCP | UDP if ports.contains(&DNS) || ports.contains(&SSH) => ip.set_class(EXPEDITED),
            TCP | UDP => ip.set_class(LOWER_EFFORT),
            _ => {}
        }
        Verdict::Accept
    }

    /// Asked after each event, until there is nothing left.
    fn take_injected(&mut self) -> Option<Injected> {
        self.answers.pop_front()
    }
}
