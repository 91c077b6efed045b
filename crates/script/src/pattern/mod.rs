//! Lua's string patterns, matched in counted steps.
//!
//! The matcher of the interpreter backtracks inside one call of a C function, where no hook looks: three
//! repetitions and a few kilobytes of hostile text hold a worker up for minutes. This one does the same
//! work for the same answer, but counts it and gives up. It is slower on friendly text, so the prelude
//! asks it only where the other one *could* take long.
//!
//! The interpreter's matcher recurses. Here each repeated item of the pattern leaves at most one choice
//! on a stack, with which matching goes on when something behind it fails.
mod parse;

pub(crate) use parse::Pattern;
use parse::{Item, Repeat, Single};

/// One of a match's captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    /// A part of the text.
    Range(usize, usize),
    /// `()`: a place.
    Place(usize),
}

/// Where a pattern was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) captures: Vec<Capture>,
}

/// The steps were used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsedUp;

impl Pattern {
    /// The first place from `from` on where the pattern matches; one that begins with `^` matches there
    /// or nowhere. Takes what it does from `steps`.
    pub(crate) fn find(
        &self,
        text: &[u8],
        from: usize,
        steps: &mut u64,
    ) -> Result<Option<Found>, UsedUp> {
        let mut matcher =
            Matcher { text, items: &self.items, choices: Vec::new(), captures: Vec::new(), steps };
        let last = if self.anchored { from } else { text.len() };
        for start in from..=last {
            if let Some(end) = matcher.run(start)? {
                let captures = matcher.captures.iter().map(|open| open.capture()).collect();
                return Ok(Some(Found { start, end, captures }));
            }
        }
        Ok(None)
    }
}

/// What a repeated item may still do otherwise; and what to take back on the way to it.
#[derive(Clone, Copy, Debug)]
enum Choice {
    /// The item before `item` may take fewer: `at` can go down to `least`.
    Fewer { item: usize, at: usize, least: usize },
    /// The item `item` may take one more at `at`.
    More { item: usize, at: usize },
    /// The item before `item` may be left out at `at`.
    Without { item: usize, at: usize },
    /// A capture was begun.
    Opened,
    /// This capture was ended.
    Closed(usize),
}

#[derive(Clone, Copy, Debug)]
struct Open {
    start: usize,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    None,
    At(usize),
    Place,
}

impl Open {
    const fn capture(self) -> Capture {
        match self.end {
            End::At(end) => Capture::Range(self.start, end),
            // The parser lets no capture stay open.
            End::None | End::Place => Capture::Place(self.start),
        }
    }
}

struct Matcher<'a> {
    text: &'a [u8],
    items: &'a [Item],
    choices: Vec<Choice>,
    captures: Vec<Open>,
    steps: &'a mut u64,
}

impl Matcher<'_> {
    /// Where the pattern ends if it matches at `start`.
    fn run(&mut self, start: usize) -> Result<Option<usize>, UsedUp> {
        self.choices.clear();
        self.captures.clear();
        let (mut item, mut at) = (0, start);
        loop {
            self.step()?;
            let Some(now) = self.items.get(item) else { return Ok(Some(at)) };
            match self.item(now, item, at)? {
                Some((next, place)) => (item, at) = (next, place),
                None => match self.back()? {
                    Some((next, place)) => (item, at) = (next, place),
                    None => return Ok(None),
                },
            }
        }
    }

    fn step(&mut self) -> Result<(), UsedUp> {
        *self.steps = self.steps.checked_sub(1).ok_or(UsedUp)?;
        Ok(())
    }

    fn fits(&mut self, single: &Single, at: usize) -> Result<bool, UsedUp> {
        self.step()?;
        Ok(self.text.get(at).is_some_and(|byte| single.contains(*byte)))
    }

    /// Matches one item at `at`: the next item and place, or none if it does not match.
    fn item(
        &mut self,
        now: &Item,
        item: usize,
        at: usize,
    ) -> Result<Option<(usize, usize)>, UsedUp> {
        let next = item + 1;
        Ok(match now {
            Item::Single(single, repeat) => return self.single(single, *repeat, item, at),
            Item::Open => {
                self.captures.push(Open { start: at, end: End::None });
                self.choices.push(Choice::Opened);
                Some((next, at))
            }
            Item::Place => {
                self.captures.push(Open { start: at, end: End::Place });
                self.choices.push(Choice::Opened);
                Some((next, at))
            }
            Item::Close(number) => {
                if let Some(open) = self.captures.get_mut(*number) {
                    open.end = End::At(at);
                    self.choices.push(Choice::Closed(*number));
                }
                Some((next, at))
            }
            Item::Again(number) => self.again(*number, at)?.map(|end| (next, end)),
            Item::Balance(open, close) => self.balance(*open, *close, at)?.map(|end| (next, end)),
            Item::Frontier(single) => {
                let before = at.checked_sub(1).and_then(|at| self.text.get(at)).copied();
                let here = self.text.get(at).copied();
                let is_edge =
                    !single.contains(before.unwrap_or(0)) && single.contains(here.unwrap_or(0));
                is_edge.then_some((next, at))
            }
            Item::End => (at == self.text.len()).then_some((next, at)),
        })
    }

    fn single(
        &mut self,
        single: &Single,
        repeat: Repeat,
        item: usize,
        at: usize,
    ) -> Result<Option<(usize, usize)>, UsedUp> {
        let next = item + 1;
        match repeat {
            Repeat::Once => Ok(self.fits(single, at)?.then_some((next, at + 1))),
            Repeat::Maybe => {
                if !self.fits(single, at)? {
                    return Ok(Some((next, at)));
                }
                self.choices.push(Choice::Without { item: next, at });
                Ok(Some((next, at + 1)))
            }
            Repeat::Most(least) => {
                let mut end = at;
                while self.fits(single, end)? {
                    end += 1;
                }
                if end - at < least {
                    return Ok(None);
                }
                if end > at + least {
                    self.choices.push(Choice::Fewer { item: next, at: end, least: at + least });
                }
                Ok(Some((next, end)))
            }
            Repeat::Fewest => {
                self.choices.push(Choice::More { item, at });
                Ok(Some((next, at)))
            }
        }
    }

    /// Goes back to the last choice, and chooses otherwise.
    fn back(&mut self) -> Result<Option<(usize, usize)>, UsedUp> {
        while let Some(choice) = self.choices.pop() {
            self.step()?;
            match choice {
                Choice::Fewer { item, at, least } => {
                    if at - 1 > least {
                        self.choices.push(Choice::Fewer { item, at: at - 1, least });
                    }
                    return Ok(Some((item, at - 1)));
                }
                Choice::More { item, at } => {
                    let Some(Item::Single(single, _)) = self.items.get(item) else { continue };
                    if self.fits(single, at)? {
                        self.choices.push(Choice::More { item, at: at + 1 });
                        return Ok(Some((item + 1, at + 1)));
                    }
                }
                Choice::Without { item, at } => return Ok(Some((item, at))),
                Choice::Opened => drop(self.captures.pop()),
                Choice::Closed(number) => {
                    if let Some(open) = self.captures.get_mut(number) {
                        open.end = End::None;
                    }
                }
            }
        }
        Ok(None)
    }

    /// What capture `number` took, once more.
    fn again(&mut self, number: usize, at: usize) -> Result<Option<usize>, UsedUp> {
        let Some(Open { start, end: End::At(end) }) = self.captures.get(number).copied() else {
            return Ok(None);
        };
        let (text, len) = (self.text, end - start);
        *self.steps = self.steps.checked_sub(len as u64 / 16).ok_or(UsedUp)?;
        let same = text.get(start..end) == text.get(at..at + len);
        Ok((at + len <= text.len() && same).then_some(at + len))
    }

    /// Behind the `close` that balances the `open` at `at`.
    fn balance(&mut self, open: u8, close: u8, at: usize) -> Result<Option<usize>, UsedUp> {
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        let mut here = at + 1;
        while let Some(byte) = self.text.get(here) {
            self.step()?;
            here += 1;
            if *byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(here));
                }
            } else if *byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &str, text: &str, steps: u64) -> Result<Option<(usize, usize)>, UsedUp> {
        let mut steps = steps;
        let pattern = Pattern::parse(pattern.as_bytes()).unwrap();
        let found = pattern.find(text.as_bytes(), 0, &mut steps)?;
        Ok(found.map(|found| (found.start, found.end)))
    }

    #[test]
    fn what_backtracks_for_ever_is_given_up() {
        let text = "a".repeat(5000);
        assert_eq!(find(".-.-.-.-b", &text, 1_000_000), Err(UsedUp));
        assert_eq!(find("a*a*a*b", &text, 1_000_000), Err(UsedUp));
        assert_eq!(find("%b()", &"(".repeat(5000), 1_000_000), Err(UsedUp));
    }

    #[test]
    fn friendly_text_takes_few_steps() {
        let text = "GET /index.html HTTP/1.1\r\n";
        assert_eq!(find("^(%u+) (%S+) HTTP/(%d).(%d)\r\n", text, 200), Ok(Some((0, 26))));
    }
}
