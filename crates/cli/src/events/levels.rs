//! How loud a log line must be to be printed, by section.

use std::str::FromStr;

use tollgate_policy::{Level, Log};

/// `[section=]level` with commas between: Haka's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    general: Level,
    sections: Vec<(String, Level)>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { general: Level::Info, sections: Vec::new() }
    }
}

impl Levels {
    /// Whether a line is loud enough. What a script prints always is.
    #[must_use]
    pub fn want(&self, log: &Log) -> bool {
        let own = self.sections.iter().rev().find(|(section, _)| *section == log.section);
        log.section == "print" || log.level >= own.map_or(self.general, |(_, level)| *level)
    }
}

impl FromStr for Levels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut levels = Self::default();
        for part in text.split(',') {
            match part.split_once('=') {
                None => levels.general = level(part.trim())?,
                Some((section, name)) => {
                    levels.sections.push((section.trim().to_owned(), level(name.trim())?));
                }
            }
        }
        Ok(levels)
    }
}

fn level(name: &str) -> Result<Level, String> {
    match name {
        "debug" => Ok(Level::Debug),
        "info" => Ok(Level::Info),
        "warn" | "warning" => Ok(Level::Warning),
        "error" => Ok(Level::Error),
        "fatal" => Ok(Level::Fatal),
        other => Err(format!(
            "\"{other}\" is no level: want debug, info, warn, error or fatal, or SECTION=LEVEL, \
             with commas between them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_wire::Timestamp;

    fn log(level: Level, section: &str) -> Log {
        Log {
            time: Timestamp(0),
            level,
            section: section.into(),
            message: String::new(),
            bytes: None,
        }
    }

    #[test]
    fn a_section_has_its_own_level_or_the_general_one() {
        let levels: Levels = "warning, tcp=debug".parse().unwrap();
        assert!(levels.want(&log(Level::Debug, "tcp")));
        assert!(!levels.want(&log(Level::Info, "external")));
        assert!(levels.want(&log(Level::Warning, "external")));
        assert!(levels.want(&log(Level::Info, "print")));
        assert!(!Levels::default().want(&log(Level::Debug, "tcp")));
        assert!(Levels::default().want(&log(Level::Info, "tcp")));
        assert!("tcp=loud".parse::<Levels>().is_err_and(|message| message.contains("\"loud\"")));
    }
}
