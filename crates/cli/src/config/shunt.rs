//! Which connections cross in the kernel.

use serde::{Deserialize, Serialize};
use tollgate_engine as engine;

/// Which connections cross, or are dropped, in the XDP program, so that no worker sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shunt {
    /// None, whatever rules say: every byte is inspected
    Never,
    /// Those that a rule has shunted, and those that were refused and go on all the same
    Asked,
    /// Also those of which no rule can see anything any more: the fastest, and nothing guards them
    Unwatched,
}

impl Shunt {
    /// In the engine's words.
    pub(super) const fn engine(self) -> engine::Shunt {
        match self {
            Self::Never => engine::Shunt::Never,
            Self::Asked => engine::Shunt::Asked,
            Self::Unwatched => engine::Shunt::Unwatched,
        }
    }
}
