//! From TOML text to a [`Config`], or to *every* fault of the text with its place.
//!
//! The text becomes a table with spans; each key is looked up in the table that the defaults
//! serialize to, so that there is one list of keys, the structs'. A known key's value is then
//! deserialized alone, on top of the defaults: one wrong value does not hide the next.

use std::path::Path;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use toml::de::{DeTable, DeValue, Deserializer};
use toml::{Spanned, Table, Value};

use super::Config;
use crate::fault::{Fault, Faults, reading};

/// Names further from every key than this are not taken for a slip of the pen. A guess: 0.7 lets
/// two of seven letters differ.
const NEARNESS_MIN: f64 = 0.7;

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Every fault found, with its place.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Faults(vec![Fault::of_file(path, reading(&error))]))?;
        Self::parse(&text, path)
    }

    /// Reads `text`; `path` is for messages only.
    ///
    /// # Errors
    /// Every fault found, with its place.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Faults> {
        let mut reading = Reading { text, path, faults: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            reading.toml(error);
        }
        if errors.is_empty() {
            let known = Table::try_from(Self::default())
                .expect("the defaults have only strings, numbers, lists and tables of them");
            reading.table(table.get_ref(), &known, &mut Vec::new());
        }
        // Only now as a whole: the values are known to be good one by one.
        let config = if reading.faults.is_empty() {
            Self::deserialize(Deserializer::from(table)).map_err(|error| reading.toml(&error)).ok()
        } else {
            None
        };
        // In reading order: tables are walked by name, and the parser reports by nesting.
        reading.faults.sort_by_key(|fault| fault.place);
        config.ok_or(Faults(reading.faults))
    }
}

struct Reading<'a> {
    text: &'a str,
    path: &'a Path,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    /// Checks each key of `table` against `known`; `above` holds the names of the tables around.
    fn table(&mut self, table: &DeTable<'_>, known: &Table, above: &mut Vec<String>) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            match (known.get(name), value.get_ref()) {
                (None, _) => {
                    let message = unknown(name, known, above);
                    self.faults.push(Fault::at(self.path, self.text, &key.span(), message));
                }
                (Some(Value::Table(known)), DeValue::Table(table)) => {
                    above.push(name.to_owned());
                    self.table(table, known, above);
                    above.pop();
                }
                (Some(_), _) => self.value(key, value, above),
            }
        }
    }

    /// Tries one value on top of the defaults.
    fn value(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        above: &[String],
    ) {
        let span = value.span();
        let mut table = DeTable::new();
        table.insert(key.clone(), value.clone());
        for name in above.iter().rev() {
            let inner = Spanned::new(span.clone(), DeValue::Table(table));
            table = DeTable::new();
            table.insert(Spanned::new(span.clone(), name.clone().into()), inner);
        }
        let table = Spanned::new(span.clone(), table);
        let checked = Config::deserialize(Deserializer::from(table).into_deserializer());
        let message = match checked {
            Err(error) => error.message().to_owned(),
            Ok(config) => match config.check() {
                Err(message) => message,
                Ok(()) => return,
            },
        };
        let message = format!("{}: {message}", key.get_ref());
        self.faults.push(Fault::at(self.path, self.text, &span, message));
    }

    fn toml(&mut self, error: &toml::de::Error) {
        let message = error.message().to_owned();
        self.faults.push(match error.span() {
            Some(span) => Fault::at(self.path, self.text, &span, message),
            None => Fault::of_file(self.path, message),
        });
    }
}

/// "Unknown", and the nearest key: in this table, or else in a table where it would belong.
fn unknown(name: &str, known: &Table, above: &[String]) -> String {
    let here = if above.is_empty() { String::new() } else { format!(" in [{}]", above.join(".")) };
    let near = known
        .keys()
        .map(|key| (strsim::jaro_winkler(name, key), key))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(nearness, _)| *nearness >= NEARNESS_MIN);
    if let Some((nearness, key)) = near
        && (nearness > 0.9 || elsewhere(name).is_none())
    {
        return format!("unknown key \"{name}\"{here}; did you mean \"{key}\"?");
    }
    if let Some(table) = elsewhere(name) {
        return format!("unknown key \"{name}\"{here}; it belongs under [{table}]");
    }
    let keys: Vec<_> = known.keys().map(String::as_str).collect();
    format!("unknown key \"{name}\"{here}; known are {}", keys.join(", "))
}

/// The table of the configuration that has exactly this key.
fn elsewhere(name: &str) -> Option<String> {
    let all = Table::try_from(Config::default()).ok()?;
    all.iter().find_map(|(table, value)| {
        value.as_table().is_some_and(|keys| keys.contains_key(name)).then(|| table.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        match Config::parse(text, Path::new("t.toml")) {
            Ok(config) => panic!("no fault found: {config:?}"),
            Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn nothing_means_the_defaults() {
        assert_eq!(Config::parse("", Path::new("t.toml")), Ok(Config::default()));
    }

    #[test]
    fn an_unknown_key_is_told_with_the_near_one() {
        assert_eq!(
            faults("midstream = \"drop\"\n[limits]\nflow_max = 3\n"),
            ["t.toml:3:1: unknown key \"flow_max\" in [limits]; did you mean \"flows_max\"?"]
        );
    }

    #[test]
    fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
        assert_eq!(
            faults("half_open_max = 3\n"),
            ["t.toml:1:1: unknown key \"half_open_max\"; it belongs under [limits]"]
        );
    }

    #[test]
    fn every_fault_is_found_at_once() {
        let found = faults("midstrem = 1\nfail = \"open\"\n\n[limits]\nflows_max = -1\nx = 0\n");
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found[0].starts_with("t.toml:1:1: unknown key \"midstrem\"; did you mean"));
        assert!(found[1].starts_with("t.toml:2:8: fail: unknown variant `open`"), "{}", found[1]);
        assert!(found[2].starts_with("t.toml:5:13: flows_max: "), "{}", found[2]);
        assert!(found[3].starts_with("t.toml:6:1: unknown key \"x\" in [limits]; known are"));
    }

    #[test]
    fn broken_toml_is_told_with_its_place() {
        let found = faults("fail = \n[limits\n");
        assert!(found[0].starts_with("t.toml:1:"), "{found:?}");
    }

    #[test]
    fn values_out_of_range_are_told_with_the_range() {
        let found = faults("[timeouts]\nestablished_s = 0\n");
        assert!(found[0].starts_with("t.toml:2:17: established_s: "), "{found:?}");
    }
}
