//! Frames: the numbers in their headers, what makes a changed one whole again, and those that rules
//! make.
use std::rc::Rc;

use mlua::{Lua, LuaString, Table};
use tollgate_policy::{Injected, Route, Side};
use tollgate_wire::{IpVersion, Layers, LinkHeader, ethertype_of};

use crate::event::{Event, Shared};

/// Frames that one event may make: no rule needs more, and a loop must end.
const INJECTED_MAX: usize = 256;

/// Frames that may be made at one instant of network time: a rule that makes another whenever it sees one
/// of its own would otherwise never let time pass.
const INJECTED_AT_ONCE_MAX: u32 = 4096;

/// What a frame may measure: the largest datagram, behind the longest link header.
const FRAME_BYTES_MAX: usize = 22 + 65_535;

/// Where the layers of a frame are, as Lua takes it; version 0 is none.
pub(crate) type Places = (usize, u8, usize, u8, usize, bool);

pub(crate) const fn places(layers: &Layers) -> Places {
    let version = match layers.version {
        Some(IpVersion::V4) => 4,
        Some(IpVersion::V6) => 6,
        None => 0,
    };
    let Layers { network, transport, protocol, end, is_fragment, .. } = *layers;
    (network, version, transport, protocol, end, is_fragment)
}

/// Adds `number`, which reads the event's frame, and `layers`, `intact`, `settle`, `emit`, `inject` and
/// `stamp`. Those take a frame as a string; nil is the event's.
pub(super) fn add(lua: &Lua, native: &Table, shared: &Rc<Shared>) -> mlua::Result<()> {
    let of = Rc::clone(shared);
    native.set(
        "number",
        lua.create_function(move |_, (at, len): (usize, usize)| {
            Ok(number(&of.event.borrow().bytes, at, len))
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "layers",
        lua.create_function(move |_, text: Option<LuaString>| {
            Ok(with(&of, text.as_ref(), |frame| places(&Layers::of(frame))))
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "intact",
        lua.create_function(move |_, (text, end): (Option<LuaString>, usize)| {
            Ok(with(&of, text.as_ref(), |frame| {
                let layers = Layers::of(frame).ending_at(end, frame);
                (layers.is_network_intact(frame), layers.is_transport_intact(frame))
            }))
        })?,
    )?;
    native.set(
        "settle",
        lua.create_function(|lua, (text, end, what): (LuaString, usize, u8)| {
            let mut frame = text.as_bytes().to_vec();
            settle(&mut frame, end, what);
            lua.create_string(frame)
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "emit",
        lua.create_function(move |_, text: LuaString| {
            of.frame.replace(Some(text.as_bytes().to_vec()));
            Ok(())
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "inject",
        lua.create_function(move |_, (text, is_send): (LuaString, bool)| {
            let route = if is_send { Route::Send } else { Route::Receive };
            Ok(inject(&of, text.as_bytes().to_vec(), route).err())
        })?,
    )?;
    let of = Rc::clone(shared);
    native.set(
        "stamp",
        lua.create_function(move |_, ()| {
            let event = of.event.borrow();
            let nanos = event.now.nanos();
            Ok((nanos / 1_000_000_000, nanos % 1_000_000_000, event.number))
        })?,
    )
}

/// Calls `read` with a frame of the script's own, or with the event's.
fn with<R>(shared: &Shared, text: Option<&LuaString>, read: impl FnOnce(&[u8]) -> R) -> R {
    match text {
        Some(text) => read(&text.as_bytes()),
        None => read(&shared.event.borrow().bytes),
    }
}

/// Up to four bytes in network order; `None` where the frame has ended.
fn number(frame: &[u8], at: usize, len: usize) -> Option<u32> {
    let bytes = frame.get(at..at.checked_add(len.min(4))?)?;
    Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

/// Makes lengths (1), the IP checksum (2) and the transport checksum (4) right.
fn settle(frame: &mut [u8], end: usize, what: u8) {
    let layers = Layers::of(frame).ending_at(end, frame);
    if what & 1 != 0 {
        layers.write_lengths(frame);
    }
    if what & 4 != 0 {
        layers.write_transport_checksum(frame);
    }
    if what & 2 != 0 {
        layers.write_network_checksum(frame);
    }
}

fn inject(shared: &Shared, mut frame: Vec<u8>, route: Route) -> Result<(), String> {
    let mut queue = shared.injected.borrow_mut();
    let event = shared.event.borrow();
    let (instant, made) = shared.injected_at.get();
    let made = if instant == event.now { made } else { 0 };
    if queue.len() >= INJECTED_MAX || made >= INJECTED_AT_ONCE_MAX {
        return Err("too many packets made at once".to_owned());
    }
    if !(14..=FRAME_BYTES_MAX).contains(&frame.len()) {
        return Err(format!("a frame of {} bytes cannot be sent", frame.len()));
    }
    shared.injected_at.set((event.now, made + 1));
    let from = address(&mut frame, &event);
    queue.push_back(Injected { frame, from, route });
    Ok(())
}

/// Where a made frame is to be thought to have come in. One whose Ethernet addresses are all zero gets
/// those of the event's frame, turned round if it answers that.
fn address(frame: &mut Vec<u8>, event: &Event) -> Side {
    let mine = Layers::of(frame);
    let theirs = Layers::of(&event.bytes);
    let answers = event.is_frame
        && mine.version.is_some()
        && mine.version == theirs.version
        && ends(frame, &mine).1 == ends(&event.bytes, &theirs).0;
    let from = if answers { event.from.other() } else { event.from };
    let is_bare = frame.get(..12).is_some_and(|link| link.iter().all(|byte| *byte == 0));
    let (true, true, Some(version)) = (is_bare, event.is_frame, mine.version) else { return from };
    if let Some(link) = LinkHeader::of(&event.bytes) {
        let link = if answers { link.reversed() } else { link };
        let link = link.with_ethertype(ethertype_of(version));
        frame.splice(..mine.network, link.as_bytes().iter().copied());
    }
    from
}

/// Source and destination address.
fn ends<'a>(frame: &'a [u8], layers: &Layers) -> (&'a [u8], &'a [u8]) {
    let (from, len) = if layers.version == Some(IpVersion::V4) { (12, 4) } else { (8, 16) };
    let from = layers.network + from;
    let part = |at: usize| frame.get(at..at + len).unwrap_or_default();
    (part(from), part(from + len))
}

#[cfg(test)]
mod tests {
    use tollgate_wire::Timestamp;

    use super::*;

    /// UDP from 198.18.0.`from` to 198.18.0.`to`.
    fn frame(link: &[u8], from: u8, to: u8) -> Vec<u8> {
        let mut frame = link.to_vec();
        frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([198, 18, 0, from, 198, 18, 0, to, 0, 1, 0, 2, 0, 8, 0, 0]);
        frame
    }

    #[test]
    fn a_made_frame_finds_its_way() {
        // With a VLAN tag.
        let link = [2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0x81, 0, 0, 7, 8, 0];
        let bare = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
        let mut event = Event::none();
        event.is_frame = true;
        event.from = Side::A;
        event.bytes = frame(&link, 1, 2);
        let mut onward = frame(&bare, 1, 2);
        assert_eq!(address(&mut onward, &event), Side::A);
        assert_eq!(onward, frame(&link, 1, 2));
        let mut back = frame(&bare, 2, 1);
        assert_eq!(address(&mut back, &event), Side::B);
        let turned = [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 0x81, 0, 0, 7, 8, 0];
        assert_eq!(back, frame(&turned, 2, 1));
        // One that has addresses keeps them.
        let own = [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 8, 0];
        let mut kept = frame(&own, 2, 1);
        assert_eq!((address(&mut kept, &event), &kept), (Side::B, &frame(&own, 2, 1)));
    }

    #[test]
    fn what_makes_packets_without_end_is_stopped() {
        let shared = Shared::new(0);
        let make = || inject(&shared, vec![0; 60], Route::Receive);
        for _ in 0..INJECTED_AT_ONCE_MAX {
            make().unwrap();
            shared.injected.borrow_mut().clear();
        }
        assert!(make().is_err());
        shared.event.borrow_mut().now = Timestamp::from_secs(1);
        for _ in 0..INJECTED_MAX {
            make().unwrap();
        }
        assert!(make().is_err());
        assert!(inject(&Shared::new(0), vec![0; 13], Route::Send).is_err());
    }
}
