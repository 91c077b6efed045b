//! The rules of a run: a Lua file, or none; those in Rust are in `built_in`.

use std::fmt;
use std::path::{Path, PathBuf};

use tollgate_policy::{
    AcceptAll, Data, Flow, FrameEdit, Injected, Interest, Log, PacketView, Policy, Reports, Verdict,
};
use tollgate_script::{self as script, Lineage, LuaPolicy, RuleErrors, Settings, Watch};
use tollgate_wire::{Direction, Timestamp};

use crate::config::{Follow, OnRuleError};
use crate::fault::{Fault, Faults};

/// Rules as loaded, of which every worker gets a copy of its own. `Display` tells what was loaded,
/// in a few words.
pub trait Rules: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// One worker's rules.
    type Policy: Policy;
    /// What they hand on to those that take their place.
    type Lineage;

    /// The rules for one more worker, made by the thread that will ask them.
    ///
    /// # Errors
    /// A script that is different each time it runs, or no memory.
    fn policy(&self) -> Result<Self::Policy, Faults>;

    /// What they listen to.
    fn interest(&self) -> Interest;

    /// The same rules as they are now where they came from, checked.
    ///
    /// # Errors
    /// Every fault, or that there is nothing to load them from.
    fn again(&self) -> Result<Self, Faults>
    where
        Self: Sized;

    /// What a worker's rules hand on.
    fn lineage(policy: &Self::Policy) -> Self::Lineage;

    /// The rules for a worker that has some already, made by its thread; `breathe` lets it go on with
    /// its work meanwhile.
    ///
    /// # Errors
    /// As for [`Rules::policy`].
    fn successor(
        &self,
        lineage: Self::Lineage,
        breathe: Box<dyn FnMut()>,
    ) -> Result<Self::Policy, Faults>;

    /// What the rules said while they were loaded.
    fn messages(&self) -> &[Log] {
        &[]
    }

    /// The files that they are made of, by their names.
    fn texts(&self) -> Vec<(PathBuf, Vec<u8>)> {
        Vec::new()
    }

    /// Whether they mean connections, and not only packets.
    fn follows_connections(&self) -> bool {
        true
    }

    /// How often a worker's rules have failed so far. Those in Rust cannot.
    fn rule_errors(policy: &Self::Policy) -> RuleErrors {
        let _ = policy;
        RuleErrors::default()
    }
}

/// Loads what `--rules` names, if anything, or says what is wrong with it.
pub(crate) trait Load<R>: Fn(Option<&Path>, Terms) -> Result<R, Faults> {}

impl<R, F: Fn(Option<&Path>, Terms) -> Result<R, Faults>> Load<R> for F {}

/// On what terms rules run.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// What becomes of a connection whose rule failed.
    pub on_rule_error: OnRuleError,
    /// Nothing may be changed; verdicts count.
    pub pass_through: bool,
    /// The clock that a script's events are held against.
    pub watch: Option<Watch>,
    /// No alerts of rules that failed, but lines of log.
    pub quiet_failures: bool,
}

/// A script, or that there is none.
#[derive(Debug)]
pub enum RuleSet {
    /// Everything is accepted.
    Nothing,
    /// A script.
    Lua(Box<script::Rules>, Interest),
}

/// One worker's rules.
#[derive(Debug)]
pub enum Chosen {
    /// Everything is accepted, and no event is wanted.
    Nothing(AcceptAll),
    /// A script, in a Lua state of its own.
    Lua(Box<LuaPolicy>),
}

impl RuleSet {
    /// Loads a script, if one is given.
    ///
    /// # Errors
    /// Every fault of it, with its line.
    pub fn load(path: Option<&Path>, terms: Terms) -> Result<Self, Faults> {
        let Some(path) = path else { return Ok(Self::Nothing) };
        let settings = Settings {
            on_rule_error: terms.on_rule_error.script(),
            pass_through: terms.pass_through,
            watch: terms.watch,
            quiet_failures: terms.quiet_failures,
            ..Settings::default()
        };
        Self::of(script::Rules::load_with(path, settings).map_err(faults)?)
    }

    fn of(rules: script::Rules) -> Result<Self, Faults> {
        let interest = rules.policy().map_err(faults)?.interest();
        Ok(Self::Lua(Box::new(rules), interest))
    }
}

impl Rules for RuleSet {
    type Policy = Chosen;
    type Lineage = Lineage;

    fn policy(&self) -> Result<Chosen, Faults> {
        match self {
            Self::Nothing => Ok(Chosen::Nothing(AcceptAll)),
            Self::Lua(rules, _) => rules.policy().map(Box::new).map(Chosen::Lua).map_err(faults),
        }
    }

    fn interest(&self) -> Interest {
        match self {
            Self::Nothing => AcceptAll.interest(),
            Self::Lua(_, interest) => *interest,
        }
    }

    fn again(&self) -> Result<Self, Faults> {
        let Self::Lua(rules, _) = self else {
            let told = "it was started without rules, so there is nothing to load again";
            return Err(Faults(vec![Fault::of_file(Path::new("--rules"), told)]));
        };
        Self::of(rules.again().map_err(faults)?)
    }

    fn lineage(policy: &Chosen) -> Lineage {
        match policy {
            Chosen::Nothing(_) => Lineage::default(),
            Chosen::Lua(policy) => policy.lineage().clone(),
        }
    }

    fn successor(&self, lineage: Lineage, breathe: Box<dyn FnMut()>) -> Result<Chosen, Faults> {
        match self {
            Self::Nothing => Ok(Chosen::Nothing(AcceptAll)),
            Self::Lua(rules, _) => {
                let policy = rules.successor(&lineage, breathe).map_err(faults)?;
                Ok(Chosen::Lua(Box::new(policy)))
            }
        }
    }

    fn follows_connections(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Lua(rules, _) => rules.follows_connections(),
        }
    }

    fn texts(&self) -> Vec<(PathBuf, Vec<u8>)> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Lua(rules, _) => rules.texts(),
        }
    }

    fn messages(&self) -> &[Log] {
        match self {
            Self::Nothing => &[],
            Self::Lua(rules, _) => rules.messages(),
        }
    }

    fn rule_errors(policy: &Chosen) -> RuleErrors {
        match policy {
            Chosen::Nothing(_) => RuleErrors::default(),
            Chosen::Lua(policy) => policy.rule_errors(),
        }
    }
}

fn faults(error: script::LoadError) -> Faults {
    let fault = |script::Fault { file, line, message }| Fault {
        file,
        place: line.map(|line| (line, None)),
        message,
    };
    Faults(error.faults.into_iter().map(fault).collect())
}

/// What was loaded, in a few words.
impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("none: every connection is accepted (--rules FILE)"),
            Self::Lua(rules, interest) => {
                write!(f, "{}, {}", rules.path().display(), Listening(*interest))
            }
        }
    }
}

/// What rules listen to, in words.
pub(crate) struct Listening(pub(crate) Interest);

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.0 & EVENTS;
        let mut names = events.iter_names().map(|(name, _)| name.to_lowercase());
        match names.next() {
            None => f.write_str("listening to no event: every connection is accepted")?,
            Some(first) => {
                write!(f, "listening to {first}")?;
                names.try_for_each(|name| write!(f, ", {name}"))?;
            }
        }
        if self.0.contains(Interest::EDIT_DATA) {
            f.write_str("; may change data")?;
        }
        if self.0.contains(Interest::INJECT) {
            f.write_str("; may make packets")?;
        }
        Ok(())
    }
}

/// What can be listened to.
const EVENTS: Interest = Interest::EVENTS.union(FRAMES).union(Interest::TICK);
/// Events of frames of any protocol.
const FRAMES: Interest =
    Interest::RECEIVE_FRAME.union(Interest::RECEIVE_DATAGRAM).union(Interest::SEND_FRAME);

/// Whether rules look at frames that are no TCP, so that those must come to user space.
pub(crate) const fn looks_at_frames(interest: Interest) -> bool {
    interest.intersects(FRAMES)
}

/// What to say if TCP is not followed.
pub(crate) fn unfollowed(interest: Interest, follow: Follow) -> Option<&'static str> {
    let stateless = interest.contains(Interest::STATELESS) && follow == Follow::AsRules;
    stateless.then_some(
        "TCP is not followed, since the rules look at packets only (follow = \"always\" changes that)",
    )
}

impl Policy for Chosen {
    fn interest(&self) -> Interest {
        match self {
            Self::Nothing(policy) => policy.interest(),
            Self::Lua(policy) => policy.interest(),
        }
    }

    fn new_connection(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        reports: &mut Reports,
    ) -> Verdict {
        match self {
            Self::Nothing(policy) => policy.new_connection(flow, packet, reports),
            Self::Lua(policy) => policy.new_connection(flow, packet, reports),
        }
    }

    fn receive_packet(
        &mut self,
        flow: &mut Flow<'_>,
        packet: &PacketView<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        match self {
            Self::Nothing(policy) => policy.receive_packet(flow, packet, direction, reports),
            Self::Lua(policy) => policy.receive_packet(flow, packet, direction, reports),
        }
    }

    fn receive_data(
        &mut self,
        flow: &mut Flow<'_>,
        data: &mut Data<'_>,
        direction: Direction,
        reports: &mut Reports,
    ) -> Verdict {
        match self {
            Self::Nothing(policy) => policy.receive_data(flow, data, direction, reports),
            Self::Lua(policy) => policy.receive_data(flow, data, direction, reports),
        }
    }

    fn end_connection(&mut self, flow: &mut Flow<'_>, reports: &mut Reports) {
        match self {
            Self::Nothing(policy) => policy.end_connection(flow, reports),
            Self::Lua(policy) => policy.end_connection(flow, reports),
        }
    }

    fn receive_frame(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        match self {
            Self::Nothing(policy) => policy.receive_frame(frame, reports),
            Self::Lua(policy) => policy.receive_frame(frame, reports),
        }
    }

    fn receive_datagram(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        match self {
            Self::Nothing(policy) => policy.receive_datagram(frame, reports),
            Self::Lua(policy) => policy.receive_datagram(frame, reports),
        }
    }

    fn send_frame(&mut self, frame: &mut FrameEdit<'_>, reports: &mut Reports) -> Verdict {
        match self {
            Self::Nothing(policy) => policy.send_frame(frame, reports),
            Self::Lua(policy) => policy.send_frame(frame, reports),
        }
    }

    fn tick(&mut self, now: Timestamp, reports: &mut Reports) {
        match self {
            Self::Nothing(policy) => policy.tick(now, reports),
            Self::Lua(policy) => policy.tick(now, reports),
        }
    }

    fn take_failure(&mut self) -> bool {
        match self {
            Self::Nothing(policy) => policy.take_failure(),
            Self::Lua(policy) => policy.take_failure(),
        }
    }

    fn take_injected(&mut self) -> Option<Injected> {
        match self {
            Self::Nothing(policy) => policy.take_injected(),
            Self::Lua(policy) => policy.take_injected(),
        }
    }

    fn exiting(&mut self, now: Timestamp, reports: &mut Reports) {
        match self {
            Self::Nothing(policy) => policy.exiting(now, reports),
            Self::Lua(policy) => policy.exiting(now, reports),
        }
    }
}
