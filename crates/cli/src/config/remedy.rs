//! What becomes of a connection that cannot be treated as it should be, in the words of the file.

use serde::{Deserialize, Serialize};
use tollgate_engine as engine;
use tollgate_script as script;

/// The choices. Not every one suits every cause; [`Config::check`](super::Config::check) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Refuse the packet at hand and nothing more: its sender tries again.
    DropPacket,
    /// Drop the connection silently, from now on.
    DropFlow,
    /// RSTs to both ends, then as `drop_flow`.
    Reset,
    /// Let the packet at hand go on unseen, and follow the connection as soon as that can be done.
    Pass,
    /// Let the connection cross uninspected, to its end.
    Bypass,
}

/// What becomes of a connection in which a rule raised an error or ran out of its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRuleError {
    /// Dropped: a broken rule lets nothing through.
    #[serde(alias = "drop")]
    DropFlow,
    /// Reset at both ends: the same, and both know at once.
    Reset,
    /// Accepted for that event: a broken rule interrupts nobody.
    Pass,
    /// It goes on, and no rule sees anything more of it.
    Bypass,
}

impl Remedy {
    /// In the engine's words.
    #[must_use]
    pub const fn engine(self) -> engine::Remedy {
        match self {
            Self::DropPacket => engine::Remedy::DropPacket,
            Self::DropFlow => engine::Remedy::DropFlow,
            Self::Reset => engine::Remedy::Reset,
            Self::Pass => engine::Remedy::Pass,
            Self::Bypass => engine::Remedy::Bypass,
        }
    }

    pub(super) fn suits_asymmetric(self) -> Result<(), String> {
        let why = match self {
            Self::DropPacket | Self::DropFlow | Self::Bypass => return Ok(()),
            Self::Pass => {
                "\"pass\" cannot be: what one end says is never followed without the other"
            }
            Self::Reset => "\"reset\" cannot be: no RST is exact towards an end that is not heard",
        };
        Err(format!("{why}; want \"drop_packet\", \"drop_flow\" or \"bypass\""))
    }

    pub(super) fn suits_gap_timeout(self) -> Result<(), String> {
        if self == Self::Pass {
            return Err(
                "\"pass\" cannot be: a gap is never skipped, so nothing behind it goes on alone; \
                        want \"drop_packet\", \"drop_flow\", \"reset\" or \"bypass\""
                    .into(),
            );
        }
        Ok(())
    }
}

impl OnRuleError {
    /// In the words of the scripts.
    #[must_use]
    pub const fn script(self) -> script::OnRuleError {
        match self {
            Self::DropFlow => script::OnRuleError::Drop,
            Self::Reset => script::OnRuleError::Reset,
            Self::Pass => script::OnRuleError::Pass,
            Self::Bypass => script::OnRuleError::Bypass,
        }
    }
}
