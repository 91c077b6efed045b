//! Selective acknowledgments (RFC 2018) that name what their receiver cannot have got from us.

use tollgate_link::Frame;
use tollgate_tcp::{Segment, Tracker};
use tollgate_wire::{Direction, Packet, Rejected, Seq};

const END: u8 = 0;
const NOP: u8 = 1;
const SACK: u8 = 5;

/// Whether every block that `segment` carries is one to believe.
pub(crate) fn is_honest(tracker: &Tracker, direction: Direction, segment: &Segment) -> bool {
    let mut blocks = segment.options.sack.iter().flatten().enumerate();
    blocks.all(|(index, &block)| tracker.may_sack(direction, segment, block, index == 0))
}

/// Takes the other blocks out: the rest move together, and NOPs fill up. Checksums are right again.
///
/// # Errors
///
/// Gives the frame back if it is no packet any more, which cannot be.
pub(crate) fn strip<F: Frame>(
    packet: Packet<F>,
    tracker: &Tracker,
    direction: Direction,
    segment: &Segment,
) -> Result<Packet<F>, Rejected<F>> {
    let (from, to) =
        (usize::from(packet.headers().tcp) + 20, usize::from(packet.headers().payload));
    let mut frame = packet.into_frame();
    if let Some(options) = frame.as_mut().get_mut(from..to) {
        strip_options(options, |index, block| {
            tracker.may_sack(direction, segment, block, index == 0)
        });
    }
    let mut packet = Packet::parse(frame)?;
    packet.complete_checksum();
    Ok(packet)
}

fn strip_options(mut options: &mut [u8], keep: impl Fn(usize, (Seq, Seq)) -> bool) {
    loop {
        let len = match *options {
            [] | [END, ..] => return,
            [NOP, ..] => 1,
            [_, len, ..] if len >= 2 => usize::from(len),
            _ => return,
        };
        let Some((option, rest)) = options.split_at_mut_checked(len) else { return };
        if option.first() == Some(&SACK) {
            strip_blocks(option, &keep);
        }
        options = rest;
    }
}

/// `option` is a SACK option with its kind and length.
fn strip_blocks(option: &mut [u8], keep: impl Fn(usize, (Seq, Seq)) -> bool) {
    let mut end = 2;
    for (index, from) in (2..option.len()).step_by(8).enumerate() {
        let Some(&[a, b, c, d, e, f, g, h]) = option.get(from..from + 8) else { break };
        let edge = |bytes| Seq(u32::from_be_bytes(bytes));
        if keep(index, (edge([a, b, c, d]), edge([e, f, g, h]))) {
            option.copy_within(from..from + 8, end);
            end += 8;
        }
    }
    if end == 2 {
        end = 0;
    } else if let (Some(len), Ok(end)) = (option.get_mut(1), u8::try_from(end)) {
        *len = end;
    }
    option.get_mut(end..).unwrap_or_default().fill(NOP);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn strip(options: &[u8], keep: &[bool], expected: &[u8]) {
        let mut options = options.to_vec();
        strip_options(&mut options, |index, (left, right)| {
            assert!(left.before(right));
            keep[index]
        });
        assert_eq!(options, expected);
    }

    #[test]
    fn blocks_go_and_nops_take_their_place() {
        let a = [0, 0, 0, 1, 0, 0, 0, 2];
        let b = [0, 0, 0, 3, 0, 0, 0, 4];
        let option = |blocks: &[[u8; 8]]| {
            let len = 2 + 8 * u8::try_from(blocks.len()).unwrap();
            [&[NOP, NOP, SACK, len], blocks.concat().as_slice()].concat()
        };
        let both = option(&[a, b]);
        strip(&both, &[true, true], &both);
        strip(&both, &[true, false], &[option(&[a]), vec![NOP; 8]].concat());
        strip(&both, &[false, true], &[option(&[b]), vec![NOP; 8]].concat());
        strip(&both, &[false, false], &[NOP; 20]);
    }

    #[test]
    fn other_options_and_broken_ones_stay() {
        for options in [&[NOP, NOP, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0][..], &[3, 0, 7], &[SACK, 9]] {
            strip(options, &[], options);
        }
        strip(
            &[SACK, 6, 1, 2, 3, 4, END, SACK, 10],
            &[],
            &[NOP, NOP, NOP, NOP, NOP, NOP, END, SACK, 10],
        );
    }
}
