//! Link headers seen on the wire, numbered, so that a flow can keep one in two bytes and a packet
//! can be forged for either end at any time.
//!
//! Most wires have a handful of them: two routers' addresses and some VLANs. A wire with more
//! senders than [`HEADERS_MAX`], or an attacker who invents addresses, fills the table; flows whose
//! header found no place cannot be reset, only dropped, and the failed RST is counted.

use ahash::RandomState;
use tollgate_wire::LinkHeader;

/// The number of a header, or [`Neighbour::UNKNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour(u16);

impl Neighbour {
    pub(crate) const UNKNOWN: Self = Self(u16::MAX);
}

/// Headers by number, and an open-addressed index over them.
#[derive(Debug)]
pub(crate) struct Neighbours {
    headers: Vec<LinkHeader>,
    /// Numbers of headers; `u16::MAX` where free. Twice as long as the headers can be many, so a
    /// probe always ends.
    index: Box<[u16]>,
    hasher: RandomState,
    /// The last that was asked for: most packets of a batch come from one router.
    last: Neighbour,
}

impl Neighbours {
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            headers: Vec::with_capacity(HEADERS_MAX),
            index: vec![u16::MAX; 2 * HEADERS_MAX].into_boxed_slice(),
            hasher,
            last: Neighbour::UNKNOWN,
        }
    }

    /// The number of a header, new or known.
    pub(crate) fn intern(&mut self, header: &LinkHeader) -> Neighbour {
        if self.get(self.last) != Some(header) {
            self.last = self.look_up(header);
        }
        self.last
    }

    fn look_up(&mut self, header: &LinkHeader) -> Neighbour {
        let places = self.index.len();
        let mut place =
            usize::try_from(self.hasher.hash_one(header.as_bytes()) % places as u64).unwrap_or(0);
        loop {
            let Some(entry) = self.index.get_mut(place) else { return Neighbour::UNKNOWN };
            if *entry == u16::MAX {
                if self.headers.len() == HEADERS_MAX {
                    return Neighbour::UNKNOWN;
                }
                let number = u16::try_from(self.headers.len()).unwrap_or(u16::MAX);
                *entry = number;
                self.headers.push(*header);
                return Neighbour(number);
            }
            if self.headers.get(usize::from(*entry)) == Some(header) {
                return Neighbour(*entry);
            }
            place = (place + 1) % places;
        }
    }

    /// The header of a number.
    pub(crate) fn get(&self, neighbour: Neighbour) -> Option<&LinkHeader> {
        self.headers.get(usize::from(neighbour.0))
    }
}

const HEADERS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_keeps_its_number_whoever_is_asked_for_in_between() {
        let mut neighbours = Neighbours::new(RandomState::with_seeds(1, 2, 3, 4));
        let header = |at: u16| {
            let [high, low] = at.to_be_bytes();
            LinkHeader::new([2; 6], [2, 0, 0, 0, high, low], 0x0800)
        };
        let most = u16::try_from(HEADERS_MAX).unwrap();
        for at in 0..most {
            assert_eq!(neighbours.intern(&header(at)), Neighbour(at));
            assert_eq!(neighbours.intern(&header(at)), Neighbour(at));
            assert_eq!(neighbours.intern(&header(at / 2)), Neighbour(at / 2));
        }
        for _ in 0..2 {
            assert_eq!(neighbours.intern(&header(most)), Neighbour::UNKNOWN);
        }
        assert_eq!(neighbours.intern(&header(7)), Neighbour(7));
        assert_eq!(neighbours.get(Neighbour(7)), Some(&header(7)));
    }
}
