use tollgate_wire::{Direction, PerDirection};

/// Behind all bytes of any stream, its end included.
const UNHEARD: u64 = u64::MAX;

/// Parts of streams that no rule wants to see: for each connection and direction, the position before
/// which nothing need be shown. Told by a dissector that is in the middle of something long.
#[derive(Debug, Default)]
pub(crate) struct Skips {
    /// By the tags of flows.
    before: Vec<PerDirection<u64>>,
}

impl Skips {
    /// Nothing before `position` need be shown to the rules of the flow `tag`; 0 is no flow's.
    pub(crate) fn set(&mut self, tag: u32, direction: Direction, position: u64) {
        let Ok(index) = usize::try_from(tag) else { return };
        if index == 0 {
            return;
        }
        if index >= self.before.len() {
            self.before.resize_with(index + 1, PerDirection::default);
        }
        if let Some(before) = self.before.get_mut(index) {
            before[direction] = position;
        }
    }

    /// Whether nothing before `end` need be shown.
    pub(crate) fn covers(&self, tag: u32, direction: Direction, end: u64) -> bool {
        let index = usize::try_from(tag).ok();
        index
            .and_then(|index| self.before.get(index))
            .is_some_and(|before| end <= before[direction])
    }

    /// Nothing of the flow need be shown at all, or all of it again.
    pub(crate) fn unhear(&mut self, tag: u32, is_unheard: bool) {
        let position = if is_unheard { UNHEARD } else { 0 };
        self.set(tag, Direction::ToServer, position);
        self.set(tag, Direction::ToClient, position);
    }

    /// Whether nothing of the flow need be shown.
    pub(crate) fn is_unheard(&self, tag: u32) -> bool {
        self.covers(tag, Direction::ToServer, UNHEARD)
    }

    /// The flow is over, and its tag will be another's.
    pub(crate) fn forget(&mut self, tag: u32) {
        let index = usize::try_from(tag).ok();
        if let Some(before) = index.and_then(|index| self.before.get_mut(index)) {
            *before = PerDirection::default();
        }
    }
}
