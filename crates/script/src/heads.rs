//! What rules say beforehand of the connections that they are for (`match = { dstport = 80 }`), so that Lua
//! is entered for those only.
//!
//! A head is what its rule could ask at its beginning of the fields of the flow and the direction; it holds no
//! more than that, so that asking it here changes nothing but the cost. Which rules of an event are asked is
//! a number that Lua knows a list by: there are few such lists, however many connections.
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use tollgate_policy::Flow;
use tollgate_wire::{Direction, Endpoint};

/// All rules of the event are asked.
pub(crate) const ALL: u64 = 0;
/// None is.
pub(crate) const NOBODY: u64 = 1;
/// The first number of a list of some.
const SOME: u64 = 2;
/// Lists that an event's rules make; when there are more, all are forgotten. A guess: rules make few.
const LISTS_MAX: usize = 1024;

/// An event of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    NewConnection,
    ReceivePacket,
    ReceiveData,
    EndConnection,
}

impl Hook {
    /// By the numbers that the prelude knows them by.
    pub(crate) const ALL: [Self; 4] =
        [Self::NewConnection, Self::ReceivePacket, Self::ReceiveData, Self::EndConnection];
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    is_v4: bool,
    bits: u128,
    mask: u128,
}

impl Network {
    /// The first `len` bits of an address; those behind them do not count.
    pub(crate) fn new(address: IpAddr, len: u32) -> Self {
        let (is_v4, bits) = Self::bits(address);
        let width = if is_v4 { 32 } else { 128 };
        let host = width - len.min(width);
        let mask = u128::MAX.checked_shl(host).unwrap_or(0);
        Self { is_v4, bits: bits & mask, mask }
    }

    fn bits(address: IpAddr) -> (bool, u128) {
        match address {
            IpAddr::V4(v4) => (true, u128::from(v4.to_bits())),
            IpAddr::V6(v6) => (false, v6.to_bits()),
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        let (is_v4, bits) = Self::bits(address);
        is_v4 == self.is_v4 && bits & self.mask == self.bits
    }
}

/// What a rule asks of a connection, and of a direction; what is empty it does not ask.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) srcip: Vec<Network>,
    pub(crate) dstip: Vec<Network>,
    pub(crate) srcport: Vec<RangeInclusive<u16>>,
    pub(crate) dstport: Vec<RangeInclusive<u16>>,
    pub(crate) direction: Option<Direction>,
}

impl Head {
    fn admits(&self, client: Endpoint, server: Endpoint, direction: Option<Direction>) -> bool {
        let port = |ports: &[RangeInclusive<u16>], port| {
            ports.is_empty() || ports.iter().any(|range| range.contains(&port))
        };
        let address = |networks: &[Network], address| {
            networks.is_empty() || networks.iter().any(|network| network.contains(address))
        };
        (self.direction.is_none() || self.direction == direction)
            && port(&self.dstport, server.port)
            && port(&self.srcport, client.port)
            && address(&self.dstip, server.addr)
            && address(&self.srcip, client.addr)
    }
}

/// The rules of one event: their heads, and the lists that were made of them.
#[derive(Debug, Default)]
struct Rules {
    heads: Vec<Option<Head>>,
    has_heads: bool,
    /// By a bit for each rule.
    lists: HashMap<Box<[u64]>, u64>,
}

/// The heads of all rules of connections.
#[derive(Debug)]
pub(crate) struct Heads {
    hooks: [Rules; 4],
    next: u64,
    /// Room for the bits of one list.
    bits: Vec<u64>,
}

impl Default for Heads {
    fn default() -> Self {
        Self { hooks: Default::default(), next: SOME, bits: Vec::new() }
    }
}

impl Heads {
    /// The next rule of the event; one without a head is always asked.
    pub(crate) fn add(&mut self, hook: Hook, head: Option<Head>) {
        let [of_new, of_packet, of_data, of_end] = &mut self.hooks;
        let rules = match hook {
            Hook::NewConnection => of_new,
            Hook::ReceivePacket => of_packet,
            Hook::ReceiveData => of_data,
            Hook::EndConnection => of_end,
        };
        rules.has_heads |= head.is_some();
        rules.heads.push(head);
    }

    /// The number of the list of those rules that are to be asked in an event of `flow`.
    pub(crate) fn choose(
        &mut self,
        hook: Hook,
        flow: &Flow<'_>,
        direction: Option<Direction>,
    ) -> u64 {
        let Some(rules) = self.hooks.get_mut(hook as usize).filter(|rules| rules.has_heads) else {
            return ALL;
        };
        self.bits.clear();
        self.bits.resize(rules.heads.len().div_ceil(64), 0);
        let mut count = 0;
        for (at, head) in rules.heads.iter().enumerate() {
            let admits =
                head.as_ref().is_none_or(|head| head.admits(flow.client, flow.server, direction));
            if let (true, Some(word)) = (admits, self.bits.get_mut(at / 64)) {
                *word |= 1 << (at % 64);
                count += 1;
            }
        }
        if count == 0 {
            return NOBODY;
        }
        if count == rules.heads.len() {
            return ALL;
        }
        if let Some(number) = rules.lists.get(self.bits.as_slice()) {
            return *number;
        }
        if rules.lists.len() >= LISTS_MAX {
            rules.lists.clear();
        }
        let number = self.next;
        self.next += 1;
        rules.lists.insert(self.bits.as_slice().into(), number);
        number
    }

    /// The rules of a list, counted from 1, while it is known.
    pub(crate) fn members(&self, number: u64) -> Vec<usize> {
        let mut lists = self.hooks.iter().flat_map(|rules| &rules.lists);
        let Some((bits, _)) = lists.find(|(_, known)| **known == number) else { return Vec::new() };
        let is_in = |at: &usize| bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1);
        (0..bits.len() * 64).filter(is_in).map(|at| at + 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use tollgate_policy::{FlowId, Traffic};
    use tollgate_wire::{PerDirection, Timestamp};

    use super::*;

    fn choose(heads: &mut Heads, port: u16) -> u64 {
        let mut tag = 0;
        let flow = Flow {
            id: FlowId(1),
            client: Endpoint::new([198, 18, 0, 1].into(), 4000),
            server: Endpoint::new([198, 18, 0, 2].into(), port),
            state: "",
            traffic: PerDirection::<Traffic>::default(),
            now: Timestamp::default(),
            tag: &mut tag,
        };
        heads.choose(Hook::ReceiveData, &flow, None)
    }

    #[test]
    fn a_list_has_one_number_and_its_members() {
        let mut heads = Heads::default();
        let of = |ports| Some(Head { dstport: vec![ports], ..Head::default() });
        assert_eq!(choose(&mut heads, 80), ALL);
        heads.add(Hook::ReceiveData, of(80..=80));
        assert_eq!((choose(&mut heads, 80), choose(&mut heads, 81)), (ALL, NOBODY));
        heads.add(Hook::ReceiveData, of(80..=90));
        for _ in 0..70 {
            heads.add(Hook::ReceiveData, of(7..=7));
        }
        heads.add(Hook::ReceiveData, of(1..=100));
        let (both, one) = (choose(&mut heads, 80), choose(&mut heads, 85));
        assert_eq!((both, one, choose(&mut heads, 80)), (SOME, SOME + 1, SOME));
        assert_eq!((heads.members(both), heads.members(one)), (vec![1, 2, 73], vec![2, 73]));
    }

    #[test]
    fn lists_without_end_are_forgotten_and_numbers_are_not_used_again() {
        let mut heads = Heads::default();
        for bit in 0..12 {
            let dstport = (0..1 << 12).filter(|port| port >> bit & 1 == 1).map(|p| p..=p).collect();
            heads.add(Hook::ReceiveData, Some(Head { dstport, ..Head::default() }));
        }
        let mut highest = NOBODY;
        for port in 1..(1 << 12) - 1 {
            let number = choose(&mut heads, port);
            assert!(number > highest, "{number} at {port}");
            highest = number;
            let wanted = (0..12).filter(|bit| port >> bit & 1 == 1).map(|bit| bit + 1);
            assert_eq!(heads.members(number), wanted.collect::<Vec<usize>>());
        }
        assert!(heads.hooks.iter().all(|rules| rules.lists.len() <= LISTS_MAX));
    }

    #[test]
    fn a_network_of_no_bits_has_all_addresses_of_its_version() {
        let network = |text: &str, len| Network::new(text.parse().expect("an address"), len);
        let has = |network: Network, text: &str| network.contains(text.parse().expect("one"));
        assert!(has(network("10.0.0.0", 0), "255.0.0.1") && !has(network("10.0.0.0", 0), "::"));
        assert!(has(network("fd00::", 0), "::1") && !has(network("::", 0), "0.0.0.0"));
        assert!(
            has(network("10.0.0.7", 32), "10.0.0.7") && !has(network("10.0.0.7", 32), "10.0.0.6")
        );
        assert!(
            has(network("10.0.0.7", 31), "10.0.0.6") && !has(network("10.0.0.7", 31), "10.0.0.8")
        );
        assert!(
            has(network("fd00::5", 127), "fd00::4") && !has(network("fd00::5", 128), "fd00::4")
        );
    }
}
