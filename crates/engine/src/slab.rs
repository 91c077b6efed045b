//! Records in one array, numbered by `u32`, with the free numbers kept aside.

/// A bounded array of `T` whose entries keep their number for life.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// Grows to `entries_max` and never shrinks. The memory is reserved at once, so that growing
    /// never copies; the system makes it resident as it is used.
    entries: Vec<Option<T>>,
    free: Vec<u32>,
    entries_max: usize,
}

impl<T> Slab<T> {
    /// Room for `entries_max` entries, at most 2³¹.
    pub(crate) fn new(entries_max: usize) -> Self {
        let entries_max = entries_max.min(1 << 31);
        Self {
            entries: Vec::with_capacity(entries_max),
            free: Vec::with_capacity(entries_max),
            entries_max,
        }
    }

    /// Keeps a value and gives its number, or the value back if there is no room.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Result<u32, T> {
        if let Some(number) = self.free.pop() {
            if let Some(entry) = self.entries.get_mut(number as usize) {
                *entry = Some(value);
            }
            return Ok(number);
        }
        match u32::try_from(self.entries.len()) {
            Ok(number) if self.entries.len() < self.entries_max => {
                self.entries.push(Some(value));
                Ok(number)
            }
            _ => Err(value),
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.entries.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(value)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.entries.get(number as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.entries.get_mut(number as usize)?.as_mut()
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) const fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// One more than the greatest number given out so far.
    pub(crate) fn numbers_end(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }
}
