//! The blocks of a SACK option (RFC 2018), changed in place.

use crate::Seq;

const END: u8 = 0;
const NOP: u8 = 1;
const SACK: u8 = 5;

/// Replaces the blocks of every SACK option in `options` by what `map` makes of them. Those of which
/// it makes nothing go: the rest move together, and NOPs fill up. `map` is told which block of all
/// options together it is.
pub(crate) fn map(mut options: &mut [u8], map: impl Fn(usize, (Seq, Seq)) -> Option<(Seq, Seq)>) {
    let mut blocks = 0;
    loop {
        let len = match *options {
            [] | [END, ..] => return,
            [NOP, ..] => 1,
            [_, len, ..] if len >= 2 => usize::from(len),
            _ => return,
        };
        let Some((option, rest)) = options.split_at_mut_checked(len) else { return };
        if option.first() == Some(&SACK) {
            blocks += map_blocks(option, |index, block| map(blocks + index, block));
        }
        options = rest;
    }
}

/// `option` is a SACK option with its kind and length. Gives how many blocks it had.
fn map_blocks(option: &mut [u8], map: impl Fn(usize, (Seq, Seq)) -> Option<(Seq, Seq)>) -> usize {
    let blocks = option.len().saturating_sub(2) / 8;
    let mut end = 2;
    for (index, from) in (2..option.len()).step_by(8).enumerate() {
        let Some(&[a, b, c, d, e, f, g, h]) = option.get(from..from + 8) else { break };
        let edge = |bytes| Seq(u32::from_be_bytes(bytes));
        let Some((left, right)) = map(index, (edge([a, b, c, d]), edge([e, f, g, h]))) else {
            continue;
        };
        if let Some((to, _)) = option.get_mut(end..).and_then(|rest| rest.split_at_mut_checked(8)) {
            let (one, other) = to.split_at_mut(4);
            one.copy_from_slice(&left.0.to_be_bytes());
            other.copy_from_slice(&right.0.to_be_bytes());
        }
        end += 8;
    }
    if end == 2 {
        end = 0;
    } else if let (Some(len), Ok(end)) = (option.get_mut(1), u8::try_from(end)) {
        *len = end;
    }
    option.get_mut(end..).unwrap_or_default().fill(NOP);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn strip(options: &[u8], keep: &[bool], expected: &[u8]) {
        let mut options = options.to_vec();
        map(&mut options, |index, (left, right)| {
            assert!(left.before(right));
            keep[index].then_some((left, right))
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
    fn blocks_change_where_they_stand() {
        let mut options = vec![SACK, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        map(&mut options, |index, (left, right)| (index == 1).then_some((left + 256, right + 1)));
        let expected = [SACK, 10, 0, 0, 1, 3, 0, 0, 0, 5, NOP, NOP, NOP, NOP, NOP, NOP, NOP, NOP];
        assert_eq!(options, expected);
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
