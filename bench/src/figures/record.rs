//! What the benches have kept in `bench/record`.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

/// A table with a header.
#[derive(Clone, Debug)]
pub struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a CSV file without quotes, as ours are.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// The same from text.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let cut = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let names = cut(lines.next().context("nothing in it")?);
        let rows: Vec<_> = lines.map(cut).collect();
        ensure!(
            rows.iter().all(|row| row.len() == names.len()),
            "a line with too few or many values"
        );
        Ok(Self { names, rows })
    }

    /// Whether it has all these columns.
    #[must_use]
    pub fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.names.iter().any(|column| column == name))
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { names: &self.names, values })
    }
}

/// One line of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    names: &'a [String],
    values: &'a [String],
}

impl<'a> Row<'a> {
    /// What stands in that column; nothing if there is none.
    #[must_use]
    pub fn of(&self, name: &str) -> &'a str {
        let column = self.names.iter().position(|column| column == name);
        column.and_then(|column| self.values.get(column)).map_or("", String::as_str)
    }
}

/// One figure of the lab in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Whose.
    pub forwarder: String,
    /// Of what.
    pub measure: String,
    /// How much.
    pub value: f64,
}

/// The figures of a run of `bench/lab/compare.sh`.
#[derive(Clone, Debug, Default)]
pub struct Lab {
    figures: Vec<Figure>,
}

/// Least, median and greatest of some rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub greatest: f64,
}

impl Lab {
    /// From a table of figures, or of the streams that were all there was until 2026-11-25.
    pub fn from(table: &Table) -> anyhow::Result<Self> {
        let mut figures = Vec::new();
        let mut add = |forwarder: &str, measure: String, value: &str| -> anyhow::Result<()> {
            // What could not be measured is an empty value.
            if !value.is_empty() {
                let value =
                    value.parse().with_context(|| format!("{forwarder} {measure}: {value}"))?;
                figures.push(Figure { forwarder: forwarder.to_owned(), measure, value });
            }
            Ok(())
        };
        if table.has(&["forwarder", "measure", "value"]) {
            for row in table.rows() {
                add(row.of("forwarder"), row.of("measure").to_owned(), row.of("value"))?;
            }
        } else {
            ensure!(table.has(&["forwarder", "frame_bytes", "mbit_per_s"]), "no record of the lab");
            for row in table.rows() {
                let forwarder =
                    if row.of("forwarder") == "rules" { "lua" } else { row.of("forwarder") };
                add(forwarder, format!("goodput_{}", row.of("frame_bytes")), row.of("mbit_per_s"))?;
            }
        }
        Ok(Self { figures })
    }

    /// Forwarders in order of appearance.
    #[must_use]
    pub fn forwarders(&self) -> Vec<&str> {
        unique(self.figures.iter().map(|figure| figure.forwarder.as_str()))
    }

    /// Whether anybody was measured so.
    #[must_use]
    pub fn has(&self, measure: &str) -> bool {
        self.figures.iter().any(|figure| figure.measure == measure)
    }

    /// The rounds of one figure.
    #[must_use]
    pub fn spread(&self, forwarder: &str, measure: &str) -> Option<Spread> {
        let mut values: Vec<_> = self
            .figures
            .iter()
            .filter(|figure| figure.forwarder == forwarder && figure.measure == measure)
            .map(|figure| figure.value)
            .collect();
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len().checked_sub(1)? / 2)?;
        Some(Spread { least: *values.first()?, median, greatest: *values.last()? })
    }
}

fn unique<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for word in words {
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

/// What a column of the lab is called, how it is printed, and whether more is better.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Measure {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    /// A value is divided by this.
    pub scale: f64,
    pub digits: usize,
    pub more_is_better: bool,
}

/// All that the lab measures, in the order of columns.
pub const MEASURES: [Measure; 11] = [
    measure("goodput_1514", "one TCP stream, 1514-byte frames", "Gbit/s", 1e3, 1, true),
    measure("goodput_142", "one TCP stream, 142-byte frames", "Gbit/s", 1e3, 2, true),
    measure("lossless_64", "without loss, 64-byte frames", "kpps", 1e3, 0, true),
    measure("lossless_1514", "without loss, 1514-byte frames", "kpps", 1e3, 0, true),
    measure("connections", "connections a second", "k/s", 1e3, 1, true),
    measure("one_way_p50", "one way, median", "µs", 1.0, 0, false),
    measure("one_way_p99", "one way, 99 %", "µs", 1.0, 0, false),
    measure("one_way_p999", "one way, 99.9 %", "µs", 1.0, 0, false),
    measure("cpu_1514", "processor time of all cores, 1514-byte frames", "s/Gbit", 1.0, 3, false),
    measure("softirq_1514", "of which softirq", "s/Gbit", 1.0, 3, false),
    measure("cpu_142", "processor time of all cores, 142-byte frames", "s/Gbit", 1.0, 2, false),
];

const fn measure(
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    scale: f64,
    digits: usize,
    more_is_better: bool,
) -> Measure {
    Measure { name, title, unit, scale, digits, more_is_better }
}

impl Measure {
    /// As it is read by people.
    #[must_use]
    pub fn print(&self, value: f64) -> String {
        format!("{:.*}", self.digits, value / self.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_have_a_median_and_a_spread() {
        let text = "round,forwarder,measure,value,unit\n1,bare,connections,3,1/s\n2,bare,connections,1,1/s\n\
                    3,bare,connections,2,1/s\n1,lua,connections,,1/s\n";
        let lab = Lab::from(&Table::parse(text).unwrap()).unwrap();
        let wanted = Spread { least: 1.0, median: 2.0, greatest: 3.0 };
        assert_eq!(lab.spread("bare", "connections"), Some(wanted));
        assert_eq!(lab.spread("lua", "connections"), None);
        assert_eq!(lab.forwarders(), ["bare"]);
    }

    #[test]
    fn the_older_record_is_read_as_well() {
        let text = "round,forwarder,frame_bytes,mpps,mbit_per_s,arrived_frames,counted_by_forwarder\n\
                    1,rules,1514,0.2,2600,1,1\n";
        let lab = Lab::from(&Table::parse(text).unwrap()).unwrap();
        assert_eq!(lab.spread("lua", "goodput_1514").map(|spread| spread.median), Some(2600.0));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert!(Lab::from(&Table::parse("a,b\n1,2\n").unwrap()).is_err());
        assert!(Table::parse("a,b\n1\n").is_err());
        assert!(Table::parse("").is_err());
    }
}
