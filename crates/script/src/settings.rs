use tollgate_policy::Verdict;

use crate::budget::Watch;
use crate::limits::Limits;

/// What happens to a connection whose rule failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRuleError {
    /// It is dropped: nothing passes that the rules did not see to the end.
    #[default]
    Drop,
    /// It is reset, at both ends.
    Reset,
    /// It goes on, and no rule sees anything more of it.
    Bypass,
    /// The failed rule counts as one that had nothing against it; the rules after it are asked.
    Pass,
}

impl OnRuleError {
    pub(crate) const fn verdict(self) -> Verdict {
        match self {
            Self::Drop => Verdict::Drop,
            Self::Pass => Verdict::Accept,
            Self::Reset => Verdict::Reset,
            Self::Bypass => Verdict::Bypass,
        }
    }
}

/// How scripts run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// What one event may cost.
    pub limits: Limits,
    /// What becomes of a connection whose rule failed.
    pub on_rule_error: OnRuleError,
    /// Nothing may be changed: writing is the rule's error, whatever the script declares. Verdicts
    /// count.
    pub pass_through: bool,
    /// The clock of a live run, for what instructions do not tell.
    pub watch: Option<Watch>,
    /// A rule that failed is told of by lines of log only, as in Haka, and not by an alert as well.
    pub quiet_failures: bool,
}
