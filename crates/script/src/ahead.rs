//! What goes on without Lua.
//!
//! A streamed rule that does nothing but look for an expression sleeps until the next bytes come, and then for the
//! most part until those after them. Where nothing else of a connection's direction is to be done, its search
//! is fed here, and the rule is woken only by what it would have to act upon: a match, the beginning of one that
//! it wants held, the end of the stream, a gap. Then the bytes of that event are fed by the rule itself, from
//! where the search stood before, so that nothing is decided twice.
//!
//! Likewise the messages of HTTP: what is plain about them is read here, and of a request no more is told to Lua than
//! that it is there.
use std::cell::RefCell;
use std::rc::Rc;

use tollgate_inspect::regexp::{Automaton, Found, Scan};
use tollgate_policy::Data;
use tollgate_wire::{Direction, PerDirection};

use crate::http::{Conversation, Plain};

/// A search in a stream.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) automaton: Rc<RefCell<Automaton>>,
    pub(crate) scan: Scan,
    /// Bytes that were fed without the rule, which it has not been told of.
    pub(crate) ahead: u64,
}

/// What goes on without Lua.
#[derive(Debug)]
pub(crate) enum Asleep {
    /// A rule in a search, and whether bytes with which a match may begin must be held.
    Search { search: Rc<RefCell<Search>>, wants: bool },
    /// The responses of a conversation, where no rule wants to see any.
    Responses(Rc<RefCell<Conversation>>),
    /// Its requests, and whether any rule wants to see them.
    Requests { talk: Rc<RefCell<Conversation>>, are_heard: bool },
}

/// What has become of an event's bytes.
#[derive(Debug)]
pub(crate) enum Taken {
    /// They were no reason to wake anybody.
    Whole,
    /// They are a request, which rules are to be told of. Who sleeps must be put back if they let it pass.
    Request(Plain),
    /// Nothing: they must be shown. Who slept has been woken, and must be put again.
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) what: Asleep,
    /// Position of the next byte in the stream.
    pub(crate) next: u64,
}

impl Sleeper {
    /// Takes in the bytes of an event, if they are no reason to wake anybody.
    fn take_in(&mut self, data: &Data<'_>, fuel: u64) -> Taken {
        if data.is_end() || data.offset() != self.next || data.fresh_from() != data.offset() {
            return Taken::Nothing;
        }
        let taken = match (&self.what, data.chunks()) {
            (Asleep::Search { search, wants }, _) => {
                search.borrow_mut().goes_on(data, *wants, fuel).into()
            }
            (Asleep::Responses(talk), [bytes]) => talk.borrow_mut().takes_in(bytes).into(),
            (Asleep::Requests { talk, are_heard }, [bytes]) => {
                request(&mut talk.borrow_mut(), *are_heard, bytes)
            }
            _ => Taken::Nothing,
        };
        if matches!(taken, Taken::Whole) {
            self.next = data.end_offset();
        }
        taken
    }
}

impl From<bool> for Taken {
    fn from(is_whole: bool) -> Self {
        if is_whole { Self::Whole } else { Self::Nothing }
    }
}

fn request(talk: &mut Conversation, is_heard: bool, bytes: &[u8]) -> Taken {
    if talk.takes_in_body(bytes) {
        return Taken::Whole;
    }
    match talk.plain_request(bytes) {
        None => Taken::Nothing,
        Some(plain) if is_heard => Taken::Request(plain),
        Some(plain) => {
            talk.request_passed(plain, bytes.len());
            Taken::Whole
        }
    }
}

impl Search {
    fn goes_on(&mut self, data: &Data<'_>, wants: bool, mut fuel: u64) -> bool {
        let mut scan = self.scan.clone();
        let mut automaton = self.automaton.borrow_mut();
        for chunk in data.chunks() {
            match scan.feed(&mut automaton, chunk, false, &mut fuel) {
                Ok(Found::More { is_certain: false, .. }) => {}
                _ => return false,
            }
        }
        if wants && scan.is_partial() {
            return false;
        }
        self.scan = scan;
        self.ahead += data.len() as u64;
        true
    }
}

/// Who sleeps, by the tags of flows.
#[derive(Debug, Default)]
pub(crate) struct Sleepers(Vec<PerDirection<Option<Sleeper>>>);

impl Sleepers {
    fn of(&mut self, tag: u32) -> Option<&mut PerDirection<Option<Sleeper>>> {
        self.0.get_mut(usize::try_from(tag).ok()?)
    }

    /// The rule of this flow and direction has fallen asleep; 0 is no flow's tag.
    pub(crate) fn put(&mut self, tag: u32, direction: Direction, sleeper: Sleeper) {
        let Ok(index) = usize::try_from(tag) else { return };
        if index == 0 {
            return;
        }
        if index >= self.0.len() {
            self.0.resize_with(index + 1, PerDirection::default);
        }
        if let Some(sleepers) = self.0.get_mut(index) {
            sleepers[direction] = Some(sleeper);
        }
    }

    /// What has become of the bytes of an event.
    pub(crate) fn take_in(
        &mut self,
        tag: u32,
        direction: Direction,
        data: &Data<'_>,
        fuel: u64,
    ) -> Taken {
        let Some(sleepers) = self.of(tag) else { return Taken::Nothing };
        let Some(sleeper) = &mut sleepers[direction] else { return Taken::Nothing };
        let taken = sleeper.take_in(data, fuel);
        if matches!(taken, Taken::Nothing) {
            sleepers[direction] = None;
        }
        taken
    }

    /// Takes out who sleeps.
    pub(crate) fn take(&mut self, tag: u32, direction: Direction) -> Option<Sleeper> {
        self.of(tag).and_then(|sleepers| sleepers[direction].take())
    }

    /// The flow is over, and its tag will be another's.
    pub(crate) fn forget(&mut self, tag: u32) {
        if let Some(sleepers) = self.of(tag) {
            *sleepers = PerDirection::default();
        }
    }
}
