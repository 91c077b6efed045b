use std::path::{Path, PathBuf};
use std::sync::Arc;

use tollgate_policy::Log;

use crate::fault::LoadError;
use crate::lineage::Lineage;
use crate::policy::LuaPolicy;
use crate::settings::Settings;
use crate::source::{self, Source};
use crate::state::State;

/// A script that has been read, run once and found good. `Send` and `Sync`: every worker makes its
/// own [`LuaPolicy`] from it.
#[derive(Clone, Debug)]
pub struct Rules {
    source: Arc<Source>,
    settings: Settings,
    messages: Vec<Log>,
    follows_connections: bool,
}

impl Rules {
    /// Reads and checks a script, with default [`Settings`].
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        Self::load_with(path, Settings::default())
    }

    /// Reads and checks a script.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn load_with(path: &Path, settings: Settings) -> Result<Self, LoadError> {
        let text = source::read(path, settings.limits.script_bytes_max)
            .map_err(|why| LoadError::of_file(path, why))?;
        Self::parse(path, text, settings)
    }

    /// The script as its file is now, checked, with the same [`Settings`].
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn again(&self) -> Result<Self, LoadError> {
        Self::load_with(self.path(), self.settings)
    }

    /// Checks a script that is at hand already; `path` is for messages.
    ///
    /// # Errors
    /// Every fault that was found.
    pub fn parse(
        path: &Path,
        text: impl Into<Vec<u8>>,
        settings: Settings,
    ) -> Result<Self, LoadError> {
        let source = Source::new(path, text.into(), settings.limits.script_bytes_max);
        let source = Arc::new(source);
        let state = State::load(&source, settings, None)?;
        let messages = state.messages();
        let follows_connections = state.follows_connections;
        Ok(Self { source, settings, messages, follows_connections })
    }

    /// The rules in a Lua state of their own, for the thread that calls this.
    ///
    /// # Errors
    /// The script was run before; what fails now is memory, or a script that is different each
    /// time.
    pub fn policy(&self) -> Result<LuaPolicy, LoadError> {
        LuaPolicy::new(&self.source, self.settings, &Lineage::default(), None)
    }

    /// The same, for a worker that has rules already: `lineage` is [theirs](LuaPolicy::lineage). While
    /// the script runs, `breathe` is called every fraction of a millisecond, so that the worker can go on
    /// with its work under the old rules; it must not touch these.
    ///
    /// # Errors
    /// As for [`Rules::policy`].
    pub fn successor(
        &self,
        lineage: &Lineage,
        breathe: impl FnMut() + 'static,
    ) -> Result<LuaPolicy, LoadError> {
        LuaPolicy::new(&self.source, self.settings, lineage, Some(Box::new(breathe)))
    }

    /// What the script logged and printed while it was checked. It runs again in each worker; what
    /// it says then is the same, and is not repeated.
    #[must_use]
    pub fn messages(&self) -> &[Log] {
        &self.messages
    }

    /// Whether the script means connections, and not only the packets of TCP: it has asked for a
    /// module of theirs, or listens to one of their events.
    #[must_use]
    pub const fn follows_connections(&self) -> bool {
        self.follows_connections
    }

    /// All files that it is made of, by their names: the script, then the modules beside it.
    #[must_use]
    pub fn texts(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.source.texts()
    }

    /// Where it was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.source.path()
    }
}
