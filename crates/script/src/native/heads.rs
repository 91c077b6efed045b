use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::rc::Rc;

use mlua::{Lua, Table};
use tollgate_wire::Direction;

use crate::event::Shared;
use crate::heads::{Head, Hook, Network};

/// Numbers that say what a head asks: `srcip` and `dstip` as version, bits of the mask and four words for each
/// network, `srcport` and `dstport` as first and last of each range, `direction` as 1 or 2.
type Asked = (Vec<u32>, Vec<u32>, Vec<u16>, Vec<u16>, u8);

/// Adds `head`, which tells of the next rule of an event, `chosen`, the rules of a list, and `doomed`, which
/// tells that a timeout has decided about a connection.
pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let of = Rc::clone(shared);
    native.set(
        "head",
        lua.create_function(move |_, (hook, asked): (usize, Option<Table>)| {
            if let Some(hook) = Hook::ALL.get(hook) {
                of.heads.borrow_mut().add(*hook, asked.map(|asked| head(&asked)).transpose()?);
            }
            Ok(())
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "chosen",
        lua.create_function(move |_, number: u64| Ok(of.heads.borrow().members(number)))?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "doomed",
        lua.create_function(move |_, ()| {
            of.is_doomed.set(true);
            Ok(())
        })?,
    )
}

fn head(asked: &Table) -> mlua::Result<Head> {
    let asked: Asked = (
        asked.get("srcip")?,
        asked.get("dstip")?,
        asked.get("srcport")?,
        asked.get("dstport")?,
        asked.get("direction")?,
    );
    let (srcip, dstip, srcport, dstport, direction) = asked;
    Ok(Head {
        srcip: networks(&srcip),
        dstip: networks(&dstip),
        srcport: ranges(&srcport),
        dstport: ranges(&dstport),
        direction: match direction {
            1 => Some(Direction::ToServer),
            2 => Some(Direction::ToClient),
            _ => None,
        },
    })
}

fn networks(numbers: &[u32]) -> Vec<Network> {
    let network = |numbers: &[u32]| {
        let [version, len, a, b, c, d] = *numbers else { return None };
        let address = if version == 4 {
            IpAddr::from(a.to_be_bytes())
        } else {
            let bits = [a, b, c, d].iter().fold(0, |bits, word| bits << 32 | u128::from(*word));
            IpAddr::from(Ipv6Addr::from_bits(bits))
        };
        Some(Network::new(address, len))
    };
    numbers.chunks(6).filter_map(network).collect()
}

fn ranges(numbers: &[u16]) -> Vec<RangeInclusive<u16>> {
    let range = |pair: &[u16]| match *pair {
        [first, last] => Some(first..=last),
        _ => None,
    };
    numbers.chunks(2).filter_map(range).collect()
}
