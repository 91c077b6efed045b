//! Tables and pictures from records.
//!
//! ```text
//! figures table RECORD.csv                      medians, for people
//! figures plot RECORD.csv RECORD.txt OUT.svg    a panel for each measure, a bar for each forwarder
//! figures readme [--check]                      the tables of README.md, from the newest records in bench/record
//! ```
#![expect(clippy::print_stdout, reason = "a program")]

use std::{fs, path::PathBuf};

use anyhow::ensure;
use clap::Parser;
use tollgate_bench::figures::{
    plot::svg,
    readme::renewed,
    record::{Lab, MEASURES, Table},
};

/// Tables and pictures from records
#[derive(Debug, Parser)]
enum Arguments {
    /// The medians of a run of the lab
    Table {
        /// Its record
        csv: PathBuf,
    },
    /// The same as SVG
    Plot {
        /// Its record
        csv: PathBuf,
        /// What is known of the machine
        txt: PathBuf,
        /// Where to
        svg: PathBuf,
    },
    /// The tables of README.md, from the newest records; at the top of the repository
    Readme {
        /// Only say whether they are up to date
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse() {
        Arguments::Table { csv } => print!("{}", table(&Lab::from(&Table::read(&csv)?)?)),
        Arguments::Plot { csv, txt, svg: out } => {
            let notes = notes(&fs::read_to_string(txt)?);
            fs::write(out, svg(&Lab::from(&Table::read(&csv)?)?, &notes))?;
        }
        Arguments::Readme { check } => {
            let now = fs::read_to_string("README.md")?;
            let wanted = renewed(&now, "bench/record".as_ref())?;
            ensure!(!check || now == wanted, "README.md is older than bench/record: make figures");
            fs::write("README.md", wanted)?;
        }
    }
    Ok(())
}

fn table(lab: &Lab) -> String {
    let mut out = String::new();
    for measure in MEASURES.iter().filter(|measure| lab.has(measure.name)) {
        out += &format!("  {}, {}\n", measure.title, measure.unit);
        let bare = lab.spread("bare", measure.name).map(|spread| spread.median);
        for forwarder in lab.forwarders() {
            let Some(spread) = lab.spread(forwarder, measure.name) else { continue };
            let ratio = bare
                .map_or_else(String::new, |bare| format!("{:.2} of bare", spread.median / bare));
            out += &format!(
                "    {forwarder:<10} {:>10}   [{} to {}]   {ratio}\n",
                measure.print(spread.median),
                measure.print(spread.least),
                measure.print(spread.greatest),
            );
        }
    }
    out
}

/// Date, commit, cores and processor of a record.
fn notes(txt: &str) -> String {
    let value = |name: &str| {
        let line = txt.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    format!(
        "{}; commit {}; {}; {} cores of {}; load at the start {}",
        value("date:"),
        value("commit:"),
        value("kernel:"),
        value("cores:"),
        value("Model name:"),
        value("load:"),
    )
}
