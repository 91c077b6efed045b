use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Table, Value};

use crate::event::{Event, Shared};

/// A counter of the connection, and how to read it.
type Counter = (&'static str, fn(&Event) -> u64);

/// Adds `ports`, `addr`, `connection`, `state`, `hear`, `unhear`, `wake`, and the text forms of addresses.
pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    native.set("ports", getter(lua, shared, |event| (event.client.port, event.server.port))?)?;
    native.set("state", getter(lua, shared, |event| event.state)?)?;
    let connection = lua.create_table()?;
    let fields: [Counter; 5] = [
        ("id", |event| event.flow.0),
        ("in_pkts", |event| event.traffic.to_server.packets),
        ("in_bytes", |event| event.traffic.to_server.bytes),
        ("out_pkts", |event| event.traffic.to_client.packets),
        ("out_bytes", |event| event.traffic.to_client.bytes),
    ];
    for (name, read) in fields {
        connection.set(name, getter(lua, shared, read)?)?;
    }
    native.set("connection", connection)?;
    for (name, is_unheard) in [("hear", false), ("unhear", true)] {
        let of = Rc::clone(shared);
        let unhear = move |_: &Lua, tag: u32| {
            of.skips.borrow_mut().unhear(tag, is_unheard);
            Ok(())
        };
        native.set(name, lua.create_function(unhear)?)?;
    }
    let of = Rc::clone(shared);
    native.set(
        "wake",
        lua.create_function(move |_, tag: u32| {
            of.sleepers.borrow_mut().forget(tag);
            Ok(())
        })?,
    )?;
    addresses(lua, native, shared)
}

/// Addresses cross as 32-bit words: one for IPv4, four for IPv6.
fn addresses(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let of = Rc::clone(shared);
    native.set(
        "addr",
        lua.create_function(move |_, which: u8| Ok(words(address(&of.event.borrow(), which))))?,
    )?;
    native.set(
        "parse_addr",
        lua.create_function(|_, text: String| {
            Ok(text.parse().map_or_else(|_| MultiValue::from_iter([Value::Nil]), words))
        })?,
    )?;
    native.set(
        "format_v6",
        lua.create_function(|_, (a, b, c, d): (u32, u32, u32, u32)| {
            let bits = [a, b, c, d].iter().fold(0, |bits, word| bits << 32 | u128::from(*word));
            Ok(Ipv6Addr::from_bits(bits).to_string())
        })?,
    )
}

/// 1 and 2: client and server of the connection.
const fn address(event: &Event, which: u8) -> IpAddr {
    if which == 1 { event.client.addr } else { event.server.addr }
}

fn words(address: IpAddr) -> MultiValue {
    let number = |word: u32| Value::Number(f64::from(word));
    match address {
        IpAddr::V4(v4) => MultiValue::from_iter([number(v4.to_bits())]),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.segments();
            let pair = |high: u16, low: u16| number(u32::from(high) << 16 | u32::from(low));
            MultiValue::from_iter([pair(a, b), pair(c, d), pair(e, f), pair(g, h)])
        }
    }
}

/// A function that reads the running event.
fn getter<R: IntoLuaMulti + 'static>(
    lua: &Lua,
    shared: &Rc<Shared>,
    read: fn(&Event) -> R,
) -> mlua::Result<Function> {
    let shared = Rc::clone(shared);
    lua.create_function(move |_, ()| Ok(read(&shared.event.borrow())))
}
