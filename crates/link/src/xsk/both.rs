//! One thing for each port.

use std::ops::{Index, IndexMut};

use crate::Port;

/// A value for port A and one for port B, indexed by [`Port`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both<T> {
    pub(super) a: T,
    pub(super) b: T,
}

impl<T> Both<T> {
    pub(super) fn of(mut make: impl FnMut(Port) -> T) -> Self {
        Self { a: make(Port::A), b: make(Port::B) }
    }

    pub(super) fn try_of<E>(mut make: impl FnMut(Port) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self { a: make(Port::A)?, b: make(Port::B)? })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.a, &self.b].into_iter()
    }
}

impl<T> Index<Port> for Both<T> {
    type Output = T;

    fn index(&self, port: Port) -> &T {
        match port {
            Port::A => &self.a,
            Port::B => &self.b,
        }
    }
}

impl<T> IndexMut<Port> for Both<T> {
    fn index_mut(&mut self, port: Port) -> &mut T {
        match port {
            Port::A => &mut self.a,
            Port::B => &mut self.b,
        }
    }
}
