use std::fmt;
use std::ops::{Index, IndexMut};

/// Which way a segment travels, relative to the first SYN: its sender is the client.
/// Haka's "up" and "down" in Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the sender of the SYN to its peer; "up".
    ToServer,
    /// The reverse; "down".
    ToClient,
}

impl Direction {
    /// Both, `ToServer` first.
    pub const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    /// The other way.
    #[must_use]
    pub const fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// Haka's word for it, as Lua and the logs say it.
    #[must_use]
    pub const fn haka(self) -> &'static str {
        match self {
            Self::ToServer => "up",
            Self::ToClient => "down",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToServer => "to server",
            Self::ToClient => "to client",
        })
    }
}

/// One value for each [`Direction`], indexed by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerDirection<T> {
    /// The client's: what travels to the server.
    pub to_server: T,
    /// The server's: what travels to the client.
    pub to_client: T,
}

impl<T> Index<Direction> for PerDirection<T> {
    type Output = T;
    fn index(&self, direction: Direction) -> &T {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

impl<T> IndexMut<Direction> for PerDirection<T> {
    fn index_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}
