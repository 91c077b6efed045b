//! What some drivers do differently by zero-copy, found by running them (`bench/guest`).
//!
//! Whether zero-copy is had shows only when sockets are bound, and both of these must be known before.
//! So they hold wherever zero-copy may be had: then what they cost is paid for nothing at times.

use super::{Mode, OtherFrames, PairConfig, both::Both, interface::Interface};

/// The unit in which a card is told how long a receive buffer is, in bytes.
///
/// igb takes kilobytes, and the kernel rounds down (Linux 7.3, `igb_setup_srrctl`): of a chunk of
/// 2048 bytes, 256 of them headroom, the card used 1024, and a longer frame came as two broken ones.
pub(super) fn buffer_grain(mode: Mode, a: &Interface, b: &Interface) -> u32 {
    let in_kilobytes = [a, b].iter().any(|interface| interface.driver == "igb");
    if in_kilobytes && mode != Mode::Copy { 1024 } else { 1 }
}

/// Where frames go that carry no TCP.
///
/// What virtio-net receives by zero-copy, the kernel copies before it redirects it, with no room in
/// front; and virtio-net sends nothing without room for its own header there. Such frames would be
/// lost and nobody told, ARP first (Linux 7.3: the tracepoint `xdp_devmap_xmit` showed a drop for each).
/// So user space takes them across.
pub(super) fn other_frames(config: &PairConfig, interfaces: &Both<Interface>) -> OtherFrames {
    let needs_room = interfaces.iter().any(|interface| interface.driver == "virtio_net");
    match config.other {
        OtherFrames::Kernel if needs_room && config.mode != Mode::Copy => OtherFrames::User,
        as_configured => as_configured,
    }
}
