//! The map `shunts` of a steering program: directions of connections that nobody wants to see.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use libbpf_rs::{MapCore, MapFlags, MapHandle};
use tollgate_wire::{Endpoint, Seq};

use crate::shunt::{Edges, Fate, NoShunt, Shunt, Shunted, Way};
use crate::xsk::heartbeat::coarse_now_ns;

const KEY: usize = 44;
const VALUE: usize = 48;

/// The shunts of one port.
#[derive(Debug)]
pub(in crate::xsk) struct ShuntMap {
    shunts: MapHandle,
    shunting: MapHandle,
    /// Whether `shunting` is known to be set, which it then is for good.
    is_shunting: AtomicBool,
}

impl ShuntMap {
    pub(super) const fn new(shunts: MapHandle, shunting: MapHandle) -> Self {
        Self { shunts, shunting, is_shunting: AtomicBool::new(false) }
    }

    pub(in crate::xsk) fn insert(&self, shunt: &Shunt) -> Result<(), NoShunt> {
        let key = key(&shunt.way);
        let inserted = self
            .shunts
            .update(&key, &value(shunt), MapFlags::ANY)
            .and_then(|()| self.begin_shunting());
        inserted.map_err(|_| NoShunt::Full)
    }

    fn begin_shunting(&self) -> libbpf_rs::Result<()> {
        if !self.is_shunting.load(Ordering::Relaxed) {
            self.shunting.update(&0u32.to_ne_bytes(), &1u32.to_ne_bytes(), MapFlags::ANY)?;
            self.is_shunting.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(in crate::xsk) fn seen(&self, way: &Way) -> Option<Shunted> {
        let value = self.shunts.lookup(&key(way), MapFlags::ANY).ok()??;
        Some(shunted(&value))
    }

    pub(in crate::xsk) fn remove(&self, way: &Way) -> Option<Shunted> {
        let value = self.shunts.lookup_and_delete(&key(way)).ok()??;
        Some(shunted(&value))
    }
}

/// `struct steer_flow`.
fn key(way: &Way) -> [u8; KEY] {
    let (source, destination) =
        (way.key.endpoint(way.source), way.key.endpoint(way.source.other()));
    let vlans = way.key.vlans();
    let version = if way.key.is_ipv6() { 6u32 } else { 4 };
    let mut key = [0; KEY];
    let mut place = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(field) = key.get_mut(place..place + bytes.len()) {
            field.copy_from_slice(bytes);
        }
        place += bytes.len();
    };
    put(&octets(&source));
    put(&octets(&destination));
    put(&source.port.to_be_bytes());
    put(&destination.port.to_be_bytes());
    put(&vlans.outer.to_ne_bytes());
    put(&vlans.inner.to_ne_bytes());
    put(&version.to_ne_bytes());
    key
}

fn octets(endpoint: &Endpoint) -> [u8; 16] {
    match endpoint.addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// `struct steer_shunt`, as it begins. What was refused has just been answered, so the next time to let one
/// up is later.
fn value(shunt: &Shunt) -> [u8; VALUE] {
    let fate = match shunt.fate {
        Fate::Cross => 0,
        Fate::Drop => 1,
    };
    let Edges { end, ack, window } = shunt.edges;
    // As it lies in memory.
    let [first, second]: [u32; 2] = halves(coarse_now_ns());
    let words = [0, 0, 0, 0, first, second, fate, end.0, ack.0, window.0, shunt.shift.into(), 0];
    let mut value = [0; VALUE];
    for (field, word) in value.chunks_exact_mut(4).zip(words) {
        field.copy_from_slice(&word.to_ne_bytes());
    }
    value
}

fn halves(long: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = long.to_ne_bytes();
    [u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])]
}

fn shunted(value: &[u8]) -> Shunted {
    let long = |place: usize| {
        let bytes = value.get(place..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    };
    let seq = |place: usize| {
        let bytes = value.get(place..).and_then(|rest| rest.first_chunk());
        Seq(bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes)))
    };
    let edges = Edges { end: seq(28), ack: seq(32), window: seq(36) };
    Shunted { packets: long(0), bytes: long(8), edges }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xsk::steer::skeleton::types::{steer_flow, steer_shunt};

    #[test]
    fn keys_and_values_are_as_long_as_the_header_has_them() {
        assert_eq!(size_of::<steer_flow>(), KEY);
        assert_eq!(size_of::<steer_shunt>(), VALUE);
    }
}
