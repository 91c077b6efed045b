//! The rules: who may speak to which port, and a word that nobody may say.

use std::ops::RangeInclusive;

use tollgate::policy::{
    Alert, Data, Flow, Interest, PacketView, Policy, Reports, Severity, Verdict,
};
use tollgate::wire::Direction;

use crate::network::Network;

/// What no server may send, however it is cut into segments. Its first letter is nowhere else in it.
const WORD: &[u8] = b"FOR-INTERNAL-USE-ONLY";

/// Whoever is in `from` may connect to `ports`.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    pub(crate) from: Network,
    pub(crate) ports: RangeInclusive<u16>,
}

/// One worker's firewall. It keeps nothing of its own for each flow: how much of the word the server
/// has said so far is a small number, and the engine keeps that with the flow.
#[derive(Debug)]
pub(crate) struct Firewall {
    permits: Vec<Permit>,
}

impl Firewall {
    pub(crate) const fn new(permits: Vec<Permit>) -> Self {
        Self { permits }
    }
}

impl Policy for Firewall {
    /// What is not named here costs nothing: no packet of an open connection is shown, only bytes.
    fn interest(&self) -> Interest {
        Interest::NEW_CONNECTION | Interest::RECEIVE_DATA
    }

    fn new_connection(
        &mut self,
        flow: &mut Flow<'_>,
        _packet: &PacketView<'_>,
        reports: &mut Reports,
    ) -> Verdict {
        let permitted = |permit: &Permit| {
            permit.from.contains(flow.client.addr) && permit.ports.contains(&flow.server.port)
        };
        if self.permits.iter().any(permitted) {
            return Verdict::Accept;
        }
        alert(flow, "nobody may connect there", Severity::Low, reports);
        // The client is told at once; with `Verdict::Drop` it would try for a minute.
        Verdict::Reset
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        if direction == Direction::ToServer {
            return Verdict::Accept;
        }
        for byte in data.chunks().iter().copied().flatten() {
            *flow.tag = said(*flow.tag, *byte);
            if *flow.tag as usize == WORD.len() {
                alert(flow, "that was not for you", Severity::High, reports);
                // Neither end gets the rest of these bytes.
                return Verdict::Reset;
            }
        }
        Verdict::Accept
    }
}

/// How much of the word has been said when `byte` follows `before` bytes of it. Since its first letter
/// comes once, after a mismatch it can only begin anew.
fn said(before: u32, byte: u8) -> u32 {
    if WORD.get(before as usize) == Some(&byte) {
        before + 1
    } else {
        u32::from(WORD.first() == Some(&byte))
    }
}

fn alert(flow: &Flow<'_>, text: &str, severity: Severity, reports: &mut Reports) {
    let line = |end: tollgate::wire::Endpoint| vec![format!("address: {}, {}", end.addr, end.port)];
    reports.alert(Alert {
        time: flow.now,
        description: Some(text.to_owned()),
        severity: Some(severity),
        sources: line(flow.client),
        targets: line(flow.server),
        ..Alert::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the naive search finds it is where the number has reached its end.
    #[test]
    fn the_word_is_found_wherever_it_stands() {
        for text in [
            "FOR-INTERNAL-USE-ONLY",
            "it is FOR-INTERNAL-USE-ONLY, FOR-INTERNAL-USE-ONLY",
            "FFOR-INTERNAL-USE-ONLY",
            "FOR-INTERNAL-FOR-INTERNAL-USE-ONLY",
            "FOR-INTERNAL-USE-ONLy",
            "",
        ] {
            let found = text.bytes().scan(0, |state, byte| {
                *state = said(*state, byte);
                Some(*state as usize)
            });
            let found = found.into_iter().position(|state| state == WORD.len());
            let naive = text.as_bytes().windows(WORD.len()).position(|window| window == WORD);
            assert_eq!(found, naive.map(|at| at + WORD.len() - 1), "{text}");
        }
    }
}
