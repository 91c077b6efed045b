//! What few connections have, so that all the others pay a pointer for it.

use tollgate_wire::PerDirection;

use super::gap::Stall;
use super::promise::Promise;
use crate::below::Below;
use crate::farewell::Farewell;
use crate::unanswered::Unanswered;
use crate::unseen::Unseen;
use crate::zombie::Zombie;

#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Since the connection was reset by us: the RSTs, to be sent again.
    pub(super) farewell: Option<Farewell>,
    /// The gaps of its streams, while there are any.
    pub(super) stalls: PerDirection<Stall>,
    /// What senders were told to have arrived that has not.
    pub(super) promises: PerDirection<Option<Promise>>,
    /// Since the link lets it cross or drops it.
    pub(super) below: Option<Below>,
    /// Since a RST of an endpoint has passed: it may be lost behind us, so who still sends data is
    /// told again.
    pub(super) reset: Option<Zombie>,
    pub(super) unanswered: Unanswered,
    /// What is known of it while it crosses uninspected.
    pub(super) unseen: Unseen,
}

impl Aside {
    /// Whether the connection is as if it had none.
    pub(super) fn is_unused(&self) -> bool {
        let Self { farewell, stalls, promises, below, reset, unanswered, unseen } = self;
        farewell.is_none()
            && *stalls == PerDirection::default()
            && *promises == PerDirection::default()
            && below.is_none()
            && reset.is_none()
            && unanswered.is_unused()
            && *unseen == Unseen::default()
    }
}
