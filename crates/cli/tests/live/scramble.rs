//! A policy that changes nearly everything, in both directions: an edit that only depends on what is
//! said and where, so that the receiver's bytes are known, however they come in segments.
//!
//! Streams are cut into blocks of 64 bytes, 64 of which make a page. Some pages are lost altogether,
//! so that whole segments are; some are said twice; in others each block has a fate of its own.

use tollgate::policy::{Data, EditError, Flow, Interest, Policy, Reports, Verdict};
use tollgate::wire::Direction;

use crate::crowd::{FIRST_PORT, Speaker};
use crate::road::Luck;

const BLOCK: u64 = 64;
const BLOCKS_A_PAGE: u64 = 64;

/// What becomes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stays,
    IsErased,
    /// Said twice.
    IsDoubled,
    /// Backwards, if its first letter is in the first half of those there are.
    IsReversed,
    /// With a word before it.
    IsAnnounced,
    /// Its middle gives way to something longer.
    Grows,
    /// Its middle gives way to something shorter.
    Shrinks,
}

const WORD: &[u8] = b"<announced>";
const LONG: &[u8; 100] = &[b'+'; 100];
const SHORT: &[u8] = b"-";
/// The middle of a block.
const MIDDLE: std::ops::Range<u64> = 20..50;

fn fate(number: u16, speaker: Speaker, block: u64) -> Fate {
    let mut luck = Luck(
        (u64::from(number) * 2 + u64::from(speaker == Speaker::Client) + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (block / BLOCKS_A_PAGE + 1).wrapping_mul(0xc2b2_ae3d_27d4_eb4f),
    );
    for _ in 0..3 {
        luck.next();
    }
    match luck.below(8) {
        0 => return Fate::IsErased,
        1 => return Fate::IsDoubled,
        2 | 3 => return Fate::Stays,
        _ => {}
    }
    let mut luck = Luck(luck.next() ^ (block + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    luck.next();
    match luck.below(16) {
        0 => Fate::IsErased,
        1 => Fate::IsDoubled,
        2 => Fate::IsReversed,
        3 => Fate::IsAnnounced,
        4 => Fate::Grows,
        5 => Fate::Shrinks,
        _ => Fate::Stays,
    }
}

/// What the receiver is to get: the edit done naively to all at once. A last block that is not whole
/// stays as it is, unless it is erased.
pub(crate) fn scrambled(number: u16, speaker: Speaker, said: Vec<u8>) -> Vec<u8> {
    let [from, to] = [MIDDLE.start, MIDDLE.end].map(|at| usize::try_from(at).expect("small"));
    let mut out = Vec::with_capacity(said.len());
    for (block, bytes) in (0..).zip(said.chunks(usize::try_from(BLOCK).expect("small"))) {
        let is_whole = bytes.len() as u64 == BLOCK;
        match fate(number, speaker, block) {
            Fate::IsErased => {}
            _ if !is_whole => out.extend(bytes),
            Fate::Stays => out.extend(bytes),
            Fate::IsDoubled => out.extend([bytes, bytes].concat()),
            Fate::IsReversed if bytes[0] < b'e' => out.extend(bytes.iter().rev()),
            Fate::IsReversed => out.extend(bytes),
            Fate::IsAnnounced => out.extend([WORD, bytes].concat()),
            Fate::Grows => out.extend([&bytes[..from], LONG, &bytes[to..]].concat()),
            Fate::Shrinks => out.extend([&bytes[..from], SHORT, &bytes[to..]].concat()),
        }
    }
    out
}

/// The same as rules. A block that is not whole waits for its rest.
#[derive(Debug)]
struct Scrambler;

impl Policy for Scrambler {
    fn interest(&self) -> Interest {
        Interest::RECEIVE_DATA | Interest::EDIT_DATA
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        _reports: &mut Reports,
    ) -> Verdict {
        let speaker = match direction {
            Direction::ToServer => Speaker::Client,
            Direction::ToClient => Speaker::Server,
        };
        let number = flow.client.port.wrapping_sub(FIRST_PORT);
        scramble(number, speaker, data).expect("what is in this data may be changed");
        Verdict::Accept
    }
}

fn scramble(number: u16, speaker: Speaker, data: &mut Data<'_>) -> Result<(), EditError> {
    let (bytes, offset, end) = (data.to_vec(), data.offset(), data.end_offset());
    let mut at = offset;
    while at < end {
        let block = at / BLOCK;
        let (from, to) = (block * BLOCK, ((block + 1) * BLOCK).min(end));
        let fate = fate(number, speaker, block);
        let is_whole = to - from == BLOCK;
        if fate == Fate::IsErased {
            data.erase(at..to)?;
        } else if fate != Fate::Stays && !is_whole {
            // At the end of the stream this holds nothing.
            data.hold_from(at)?;
        } else if fate != Fate::Stays {
            let block = &bytes[usize::try_from(from - offset).expect("held from its start on")..];
            let block = &block[..usize::try_from(BLOCK).expect("small")];
            let middle = from + MIDDLE.start..from + MIDDLE.end;
            match fate {
                // Before and not behind: what follows may be held, and edits there with it.
                Fate::IsDoubled => data.insert(from, block)?,
                Fate::IsReversed if block[0] < b'e' => {
                    data.replace(from..to, block.iter().rev().copied().collect::<Vec<_>>())?;
                }
                Fate::IsAnnounced => data.insert(from, WORD)?,
                Fate::Grows => data.replace(middle, LONG.as_slice())?,
                Fate::Shrinks => data.replace(middle, SHORT)?,
                Fate::IsReversed | Fate::Stays | Fate::IsErased => {}
            }
        }
        at = to;
    }
    Ok(())
}

/// Arguments for [`the_program_with_the_scrambler`], one a line.
pub(crate) const ARGUMENTS: &str = "TOLLGATE_TEST_ARGUMENTS";

/// No test: other tests start this one as a process, which is the program with these rules.
#[test]
#[ignore = "started by other tests"]
fn the_program_with_the_scrambler() {
    let Some(arguments) = std::env::var_os(ARGUMENTS) else { return };
    let arguments = arguments.into_string().expect("given by our tests");
    let arguments = ["scrambler"].into_iter().chain(arguments.lines()).map(Into::into);
    let ended = tollgate::main_with_args(arguments.collect::<Vec<_>>(), || Scrambler);
    assert_eq!(ended, std::process::ExitCode::SUCCESS);
}

/// The rules and the naive edit agree, however the stream is cut into events.
#[test]
fn the_edit_does_not_depend_on_how_a_stream_is_cut() {
    for number in 0..40 {
        let said = crate::crowd::speech(number, Speaker::Client);
        let said = &said[..said.len().min(20_000)];
        let mut luck = Luck(u64::from(number) + 77);
        let (mut out, mut at, mut held) = (Vec::new(), 0, 0);
        while at < said.len() {
            let len = 1 + usize::try_from(luck.below(3000)).expect("small");
            let end = (at + len).min(said.len());
            let mut data = Data::new(held as u64, end == said.len()).writable();
            data.push(&said[held..end]);
            scramble(number, Speaker::Client, &mut data).expect("within");
            let wishes = data.into_wishes();
            let until = wishes.hold_from.map_or(end, |at| usize::try_from(at).expect("small"));
            let mut from = held;
            for edit in wishes.edits {
                let start = usize::try_from(edit.start).expect("small");
                out.extend(&said[from..start]);
                out.extend(edit.bytes);
                from = start + usize::try_from(edit.erased).expect("small");
            }
            out.extend(&said[from..until]);
            (at, held) = (end, until);
        }
        assert!(out == scrambled(number, Speaker::Client, said.to_vec()), "connection {number}");
    }
}
