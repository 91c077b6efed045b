//! What a run has found, for people and for programs.

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde_json::{Map, Value};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line for each figure
    Text,
    /// One object
    Json,
    /// A line of names and one of values
    Csv,
}

/// Names and values, in order.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<(String, Value)>,
    /// What was wrong, in words.
    faults: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.rows.push((name.to_owned(), value.into()));
    }

    /// A figure, to as many digits as anybody believes.
    pub(crate) fn add_rounded(&mut self, name: &str, value: f64) {
        let scale = if value.abs() >= 1000.0 { 1.0 } else { 1000.0 };
        self.add(name, (value * scale).round() / scale);
    }

    /// Median, 99 % and 99.9 % in microseconds, if there is anything to tell.
    pub(crate) fn add_times(&mut self, name: &str, times: &Histogram<u64>) {
        if times.is_empty() {
            return;
        }
        for (suffix, quantile) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            let value = times.value_at_quantile(quantile) as f64 / 1000.0;
            self.add_rounded(&format!("{name}_{suffix}_us"), value);
        }
    }

    /// Something that must not be. The run ends with 1.
    pub(crate) fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }

    pub(crate) fn print(&self, format: Format) -> anyhow::Result<String> {
        let mut out = String::new();
        match format {
            Format::Text => {
                let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                for (name, value) in &self.rows {
                    out += &format!("{name:<width$}  {}\n", plain(value));
                }
            }
            Format::Json => {
                let map: Map<_, _> = self.rows.iter().cloned().collect();
                out = serde_json::to_string_pretty(&map).context("a result as JSON")?;
                out.push('\n');
            }
            Format::Csv => {
                let names: Vec<_> = self.rows.iter().map(|(name, _)| name.as_str()).collect();
                let values: Vec<_> = self.rows.iter().map(|(_, value)| plain(value)).collect();
                out = format!("{}\n{}\n", names.join(","), values.join(","));
            }
        }
        Ok(out)
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_tells_the_same() {
        let mut report = Report::default();
        report.add("frames", 12_u64);
        report.add_rounded("mpps", 1.234_567);
        report.add("mode", "copy");
        assert_eq!(
            report.print(Format::Text).unwrap(),
            "frames  12\nmpps    1.235\nmode    copy\n"
        );
        assert_eq!(report.print(Format::Csv).unwrap(), "frames,mpps,mode\n12,1.235,copy\n");
        let json: Value = serde_json::from_str(&report.print(Format::Json).unwrap()).unwrap();
        assert_eq!(json["mpps"], 1.235);
    }
}
