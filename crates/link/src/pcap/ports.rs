use std::collections::HashMap;

use tollgate_wire::LinkHeader;

use crate::Port;

/// Address pairs remembered. Beyond it the lower address is taken to be at port A, which is as
/// consistent and only less natural.
const PAIRS_MAX: usize = 1 << 20;

/// Tells on which side of us the sender of a captured packet stands: a capture has one wire, and we
/// have two ports. Whoever of two addresses is seen sending first is at port A.
#[derive(Debug, Default)]
pub(super) struct Sides {
    /// Whether the lower of the two is at port A.
    low_is_a: HashMap<([u8; 16], [u8; 16]), bool>,
}

impl Sides {
    pub(super) fn port_of(&mut self, frame: &[u8]) -> Port {
        let Some((from, to)) = addresses(frame) else { return Port::A };
        let from_low = from <= to;
        let pair = if from_low { (from, to) } else { (to, from) };
        let low_is_a = match self.low_is_a.get(&pair) {
            Some(known) => *known,
            None if self.low_is_a.len() == PAIRS_MAX => true,
            None => *self.low_is_a.entry(pair).or_insert(from_low),
        };
        if from_low == low_is_a { Port::A } else { Port::B }
    }
}

/// Source and destination: of IP where there is IP, else of Ethernet.
fn addresses(frame: &[u8]) -> Option<([u8; 16], [u8; 16])> {
    let link = LinkHeader::of(frame)?;
    let ip = frame.get(link.as_bytes().len()..)?;
    let pick = |bytes: &[u8], from: usize, len: usize| {
        let mut address = [0; 16];
        address.get_mut(..len)?.copy_from_slice(bytes.get(from..from + len)?);
        Some(address)
    };
    match link.ethertype() {
        0x0800 => Some((pick(ip, 12, 4)?, pick(ip, 16, 4)?)),
        0x86dd => Some((pick(ip, 8, 16)?, pick(ip, 24, 16)?)),
        _ => Some((pick(frame, 6, 6)?, pick(frame, 0, 6)?)),
    }
}
