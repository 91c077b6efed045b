//! A header line gets another value on its way.
//!
//! The bytes come as they were cut into segments, so that a line may come in pieces. What has come of
//! a line is held back until the rest is there; the next event shows it again, in front.
//!
//! Caveat: it looks at the first head that each server sends, and not at those that follow on the same
//! connection. To find those one must know where a body ends, which is a parser's work.

use tollgate::policy::{Data, Flow, Interest, Policy, Reports, Verdict};
use tollgate::wire::Direction;

/// A line that is longer is no header, and is not waited for.
const LINE_MAX: usize = 4096;

/// `Flow::tag` once the head is over. Until then it is 0, as the engine makes it.
const HEAD_IS_OVER: u32 = 1;

/// Gives a header of servers' answers another value.
#[derive(Debug)]
pub(crate) struct Rewriter {
    name: &'static str,
    value: &'static str,
}

impl Rewriter {
    pub(crate) const fn new(name: &'static str, value: &'static str) -> Self {
        Self { name, value }
    }

    /// Where in a line the value stands, if it is our header's.
    fn value_in(&self, line: &[u8]) -> Option<std::ops::Range<usize>> {
        let (name, rest) = line.split_at_checked(self.name.len())?;
        if !name.eq_ignore_ascii_case(self.name.as_bytes()) || rest.first() != Some(&b':') {
            return None;
        }
        let blank = rest.iter().skip(1).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        Some(self.name.len() + 1 + blank..line.trim_ascii_end().len())
            .filter(|value| !value.is_empty())
    }
}

impl Policy for Rewriter {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA | Interest::EDIT_DATA
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        if direction == Direction::ToServer || *flow.tag == HEAD_IS_OVER {
            return Verdict::Accept;
        }
        // A copy, but of heads only, and what was held is in one piece with what has come since.
        let bytes = data.to_vec();
        let mut at = data.offset();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_whole = line.ends_with(b"\n");
            if line == b"\r\n" || line == b"\n" || line.len() > LINE_MAX {
                *flow.tag = HEAD_IS_OVER;
                break;
            }
            let done = if !is_whole {
                data.hold_from(at)
            } else if let Some(value) = self.value_in(line) {
                let value = at + value.start as u64..at + value.end as u64;
                data.replace(value, self.value)
            } else {
                Ok(())
            };
            // Where bytes must not be changed (the connection is signed, say), they pass as they are.
            if done.is_err() {
                *flow.tag = HEAD_IS_OVER;
                break;
            }
            at += line.len() as u64;
        }
        Verdict::Accept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};
    use tollgate::policy::{FlowId, Traffic, Wishes};
    use tollgate::wire::{Endpoint, PerDirection, Timestamp};

    /// What the rules wish when a server says `text`, the event beginning at `offset`.
    fn hear(tag: &mut u32, offset: u64, text: &[u8]) -> Wishes {
        let end = |port| Endpoint::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let mut flow = Flow {
            id: FlowId(1),
            client: end(4000),
            server: end(80),
            state: "established",
            traffic: PerDirection::<Traffic>::default(),
            now: Timestamp::default(),
            tag,
        };
        let mut data = Data::new(offset, false).writable();
        data.push(text);
        let mut rules = Rewriter::new("Server", "hidden");
        let mut reports = Reports::new(1);
        let verdict = rules.receive_data(&mut flow, &mut data, Direction::ToClient, &mut reports);
        assert_eq!(verdict, Verdict::Accept);
        data.into_wishes()
    }

    /// Edits as (start, erased, text).
    fn edits(wishes: &Wishes) -> Vec<(u64, u64, &str)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        wishes.edits.iter().map(|edit| (edit.start, edit.erased, text(&edit.bytes))).collect()
    }

    #[test]
    fn the_value_is_replaced_and_nothing_around_it() {
        let mut tag = 0;
        let wishes =
            hear(&mut tag, 0, b"HTTP/1.1 200 OK\r\nsErVeR:  x/1.0 \r\n\r\nServer: body\r\n");
        assert_eq!(edits(&wishes), [(26, 5, "hidden")]);
        assert_eq!((wishes.hold_from, tag), (None, HEAD_IS_OVER));
        assert_eq!(hear(&mut tag, 49, b"Server: body\r\n"), Wishes::default());
    }

    #[test]
    fn a_line_waits_for_its_end() {
        let mut tag = 0;
        let wishes = hear(&mut tag, 0, b"HTTP/1.1 200 OK\r\nServ");
        assert_eq!((edits(&wishes), wishes.hold_from), (vec![], Some(17)));
        let wishes = hear(&mut tag, 17, b"Server: x");
        assert_eq!((edits(&wishes), wishes.hold_from), (vec![], Some(17)));
        let wishes = hear(&mut tag, 17, b"Server: xyz\r\nDate");
        assert_eq!((edits(&wishes), wishes.hold_from), (vec![(25, 3, "hidden")], Some(30)));
        assert_eq!(tag, 0);
    }

    #[test]
    fn what_is_no_header_is_not_waited_for() {
        let mut tag = 0;
        assert_eq!(hear(&mut tag, 0, &[b'x'; LINE_MAX + 1]), Wishes::default());
        assert_eq!(tag, HEAD_IS_OVER);
    }

    #[test]
    fn other_headers_and_empty_values_stay() {
        let mut tag = 0;
        let wishes = hear(&mut tag, 0, b"Servers: x\r\nServer : x\r\nX-Server: x\r\nServer:\r\n");
        assert_eq!(wishes, Wishes::default());
    }
}
