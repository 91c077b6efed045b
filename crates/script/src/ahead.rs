//! What goes on without Lua.
//!
//! A streamed rule that does nothing but look for an expression sleeps until the next bytes come, and then for the
//! most part until those after them. Where nothing else of a connection's direction is to be done, its search
//! is fed here, and the rule is woken only by what it would have to act upon: a match, the beginning of one that
//! it wants held, the end of the stream, a gap. Then the bytes of that event are fed by the rule itself, from
//! where the search stood before, so that nothing is decided twice.
use std::cell::RefCell;
use std::rc::Rc;

use tollgate_inspect::regexp::{Automaton, Found, Scan};
use tollgate_policy::Data;
use tollgate_wire::{Direction, PerDirection};

use crate::http::Conversation;

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
    Talk(Rc<RefCell<Conversation>>),
}

#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) what: Asleep,
    /// Position of the next byte in the stream.
    pub(crate) next: u64,
}

impl Sleeper {
    /// Takes in the bytes of an event, if they are no reason to wake anybody.
    fn goes_on(&mut self, data: &Data<'_>, fuel: u64) -> bool {
        if data.is_end() || data.offset() != self.next || data.fresh_from() != data.offset() {
            return false;
        }
        let goes_on = match &self.what {
            Asleep::Search { search, wants } => search.borrow_mut().goes_on(data, *wants, fuel),
            Asleep::Talk(talk) => match data.chunks() {
                [bytes] => talk.borrow_mut().takes_in(bytes),
                _ => false,
            },
        };
        if goes_on {
            self.next = data.end_offset();
        }
        goes_on
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

    /// Whether the bytes of an event were taken without waking anybody. Who is woken must be put again.
    pub(crate) fn take_in(
        &mut self,
        tag: u32,
        direction: Direction,
        data: &Data<'_>,
        fuel: u64,
    ) -> bool {
        let Some(sleepers) = self.of(tag) else { return false };
        let Some(sleeper) = &mut sleepers[direction] else { return false };
        let goes_on = sleeper.goes_on(data, fuel);
        if !goes_on {
            sleepers[direction] = None;
        }
        goes_on
    }

    /// The flow is over, and its tag will be another's.
    pub(crate) fn forget(&mut self, tag: u32) {
        if let Some(sleepers) = self.of(tag) {
            *sleepers = PerDirection::default();
        }
    }
}
