use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tollgate_policy::Log;

use crate::fault::LoadError;
use crate::limits::Limits;
use crate::policy::LuaPolicy;
use crate::state::State;

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

/// How scripts run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What one event may cost.
    pub limits: Limits,
    /// What becomes of a connection whose rule failed.
    pub on_rule_error: OnRuleError,
}

/// The text of a script, shared by all who run it.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// The file's name without directories, as Lua says it in messages: Lua shortens long names.
    pub(crate) chunk: String,
    pub(crate) text: Vec<u8>,
}

/// A script that has been read, run once and found good. `Send` and `Sync`: every worker makes its
/// own [`LuaPolicy`] from it.
#[derive(Clone, Debug)]
pub struct Rules {
    source: Arc<Source>,
    settings: Settings,
    messages: Vec<Log>,
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
        let text = read(path, settings.limits.script_bytes_max)
            .map_err(|why| LoadError::of_file(path, why))?;
        Self::parse(path, text, settings)
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
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let chunk = name.chars().filter(|c| !c.is_control()).take(40).collect();
        let source = Arc::new(Source { path: path.to_owned(), chunk, text: text.into() });
        let state = State::load(&source, settings)?;
        let messages = state.messages();
        Ok(Self { source, settings, messages })
    }

    /// The rules in a Lua state of their own, for the thread that calls this.
    ///
    /// # Errors
    /// The script was run before; what fails now is memory, or a script that is different each
    /// time.
    pub fn policy(&self) -> Result<LuaPolicy, LoadError> {
        LuaPolicy::new(&self.source, self.settings)
    }

    /// What the script logged and printed while it was checked. It runs again in each worker; what
    /// it says then is the same, and is not repeated.
    #[must_use]
    pub fn messages(&self) -> &[Log] {
        &self.messages
    }

    /// Where it was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.source.path
    }
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is a directory".to_owned());
    }
    let mut text = Vec::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    if u64::try_from(text.len()).is_ok_and(|len| len > bytes_max) {
        return Err(format!("is longer than {bytes_max} bytes"));
    }
    Ok(text)
}
