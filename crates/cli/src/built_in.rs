//! Rules in Rust: a policy that is part of the program.

use std::fmt;
use std::path::Path;

use tollgate_policy::{Interest, Policy};

use crate::fault::{Fault, Faults};
use crate::rules::{Listening, Rules, Terms};

/// What makes the policy, and what that policy wants to hear of.
pub(crate) struct BuiltIn<M> {
    make: M,
    interest: Interest,
}

impl<P: Policy, M: Fn() -> P + Send + Sync + 'static> BuiltIn<M> {
    /// Makes one to ask it; a program whose rules are built in takes no file of rules.
    ///
    /// # Errors
    /// A file was given, or terms that only a script can be held to.
    pub(crate) fn load(path: Option<&Path>, terms: Terms, make: M) -> Result<Self, Faults> {
        if terms.pass_through {
            let told = "is for scripts; the rules of this program are built in";
            return Err(Faults(vec![Fault::of_file(Path::new("--pass-through"), told)]));
        }
        if let Some(path) = path {
            let told = "the rules of this program are built in, it takes none from a file";
            return Err(Faults(vec![Fault::of_file(path, told)]));
        }
        let interest = make().interest();
        Ok(Self { make, interest })
    }
}

impl<P: Policy, M: Fn() -> P + Send + Sync + 'static> Rules for BuiltIn<M> {
    type Policy = P;
    type Lineage = ();

    fn policy(&self) -> Result<P, Faults> {
        Ok((self.make)())
    }

    fn interest(&self) -> Interest {
        self.interest
    }

    fn again(&self) -> Result<Self, Faults> {
        let told = "the rules of this program are built in: there is nothing to load again";
        Err(Faults(vec![Fault::of_file(Path::new("reload"), told)]))
    }

    fn lineage(_policy: &P) {}

    fn successor(&self, (): (), _breathe: Box<dyn FnMut()>) -> Result<P, Faults> {
        self.policy()
    }
}

impl<M> fmt::Debug for BuiltIn<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltIn").field("interest", &self.interest).finish_non_exhaustive()
    }
}

impl<M> fmt::Display for BuiltIn<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "built in, {}", Listening(self.interest))
    }
}
