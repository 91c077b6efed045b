//! The tables of the README, from the newest records: between two comments that name what is there, so that a test
//! can say whether it still is what was measured.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use super::record::{Lab, MEASURES, Table};

/// Every table, and what makes it from a record.
const TABLES: [(&str, Maker); 2] = [("engine", engine), ("lab", lab)];

type Maker = fn(&Table, &str) -> anyhow::Result<String>;

/// The README as it must be, if it is `text` now and the records are in `directory`.
pub fn renewed(text: &str, directory: &Path) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    for (name, make) in TABLES {
        let Some(path) = newest(directory, name)? else { continue };
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let table =
            make(&Table::read(&path)?, &file).with_context(|| path.display().to_string())?;
        let (begin, end) = (format!("<!-- figures: {name} -->\n"), "<!-- end of figures -->");
        let start = text.find(&begin).with_context(|| format!("no {begin:?}"))? + begin.len();
        let length = text.get(start..).and_then(|rest| rest.find(end));
        let stop = start + length.with_context(|| format!("no {end:?} after {begin:?}"))?;
        text.replace_range(start..stop, &table);
    }
    Ok(text)
}

/// The newest record of that name: they begin with the date.
fn newest(directory: &Path, name: &str) -> anyhow::Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if file.get(10..) == Some(&format!("-{name}.csv")) {
            found.push(path);
        }
    }
    Ok(found.into_iter().max())
}

/// Beside the date: where it was measured, and how, stands in the record.
fn source(file: &str) -> String {
    let date = file.get(..10).unwrap_or_default();
    format!(
        "\nMeasured {date}; machine, commit and all rounds: [bench/record/{file}.csv](bench/record/{file}.csv) and the `.txt` beside it.\n"
    )
}

/// Names for people.
fn title(forwarder: &str) -> &str {
    match forwarder {
        "bridge" => "a Linux bridge (in the kernel, on the sender's core)",
        "redirect" => "XDP redirect (in the kernel, on the sender's core)",
        "bare" => "a bare AF_XDP forwarder",
        "tollgate" => "Tollgate, no rules",
        "rust" => "Tollgate, a Rust rule that looks for a word in all data",
        "lua" => "Tollgate, a Lua rule called with all data",
        "shunted" => {
            "Tollgate, a Lua rule that lets connections go: shunted from their 16th packet on"
        }
        "suricata" => "Suricata 7.0 in-line on AF_PACKET, one rule",
        other => other,
    }
}

fn lab(table: &Table, file: &str) -> anyhow::Result<String> {
    let lab = Lab::from(table)?;
    let measures: Vec<_> = MEASURES.iter().filter(|measure| lab.has(measure.name)).collect();
    ensure!(!measures.is_empty(), "no figure that is known");
    let mut out = String::from("|");
    for measure in &measures {
        out += &format!(" | {}, {}", measure.title, measure.unit);
    }
    out += &format!(" |\n|---|{}\n", "---|".repeat(measures.len()));
    for forwarder in lab.forwarders() {
        out += &format!("| {}", title(forwarder));
        for measure in &measures {
            let spread = lab.spread(forwarder, measure.name);
            out += &format!(
                " | {}",
                spread.map_or_else(|| "–".to_owned(), |spread| measure.print(spread.median))
            );
        }
        out += " |\n";
    }
    let plot = format!("bench/record/{file}.svg");
    let pictures = if table.has(&["measure"]) {
        format!("As pictures: [{plot}]({plot}).\n")
    } else {
        String::new()
    };
    Ok(out + &source(file) + &pictures)
}

fn engine(table: &Table, file: &str) -> anyhow::Result<String> {
    ensure!(
        table.has(&["frame_bytes", "flows", "rules", "early_percent", "ns_per_packet", "mpps"]),
        "no record of the engine"
    );
    let mut rows: Vec<([String; 4], String, String)> = Vec::new();
    for row in table.rows() {
        let names = ["frame_bytes", "flows", "early_percent", "traffic"];
        let key = names.map(|name| row.of(name).to_owned());
        let cell = format!(
            "{} ns, {} Mpps",
            rounded(row.of("ns_per_packet"), 0),
            rounded(row.of("mpps"), 1)
        );
        if !rows.iter().any(|(other, ..)| *other == key) {
            rows.push((key.clone(), "–".to_owned(), "–".to_owned()));
        }
        let Some((_, none, look)) = rows.iter_mut().find(|(other, ..)| *other == key) else {
            continue;
        };
        match row.of("rules") {
            "none" => *none = cell,
            "look" => *look = cell,
            _ => {}
        }
    }
    let mut out = String::from(
        "| frames | flows | no rule | a rule in Rust called with all data |\n|---|---|---|---|\n",
    );
    for ([bytes, flows, early, traffic], none, look) in rows {
        let early = if early == "0" { String::new() } else { format!(", {early} % early") };
        let bytes = if bytes == "imix" { "7:4:1 mix".to_owned() } else { format!("{bytes} bytes") };
        let traffic = match traffic.as_str() {
            "zipf" => ", few flows mostly (Zipf)",
            "churn" => ", seven packets a flow",
            _ => "",
        };
        let flows = thousands(&flows);
        out += &format!("| {bytes}{early}{traffic} | {flows} | {none} | {look} |\n");
    }
    Ok(out + &source(file))
}

fn rounded(value: &str, digits: usize) -> String {
    value.parse::<f64>().map_or_else(|_| value.to_owned(), |value| format!("{value:.digits$}"))
}

fn thousands(digits: &str) -> String {
    let mut out = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_the_lab_has_a_row_for_each_and_a_dash_for_what_is_missing() {
        let text = "round,forwarder,measure,value,unit\n1,bare,goodput_1514,5472,Mbit/s\n1,bare,connections,30500,1/s\n\
                    1,lua,goodput_1514,2600,Mbit/s\n";
        let made = lab(&Table::parse(text).unwrap(), "2026-11-28-lab").unwrap();
        assert!(made.contains("| a bare AF_XDP forwarder | 5.5 | 30.5 |"), "{made}");
        assert!(made.contains("called with all data | 2.6 | – |"), "{made}");
        assert!(made.contains("Measured 2026-11-28"), "{made}");
    }

    #[test]
    fn a_table_of_the_engine_puts_both_rules_in_one_row() {
        let text = "frame_bytes,flows,rules,early_percent,ns_per_packet,mpps\n64,1000000,none,0,135.04,7.41\n\
                    64,1000000,look,0,166.6,6.01\n1518,1000,none,5,210,4.77\n";
        let made = engine(&Table::parse(text).unwrap(), "2026-11-28-engine").unwrap();
        assert!(
            made.contains("| 64 bytes | 1 000 000 | 135 ns, 7.4 Mpps | 167 ns, 6.0 Mpps |"),
            "{made}"
        );
        assert!(
            made.contains("| 1518 bytes, 5 % early | 1 000 | 210 ns, 4.8 Mpps | – |"),
            "{made}"
        );
    }

    #[test]
    fn kinds_of_traffic_have_rows_of_their_own() {
        let text = "frame_bytes,flows,rules,early_percent,ns_per_packet,mpps,traffic\n64,1000000,none,0,160.4,6.23,uniform\n\
                    64,1000000,none,0,148.5,6.73,zipf\n64,1000000,none,0,164.5,6.08,churn\nimix,1000,empty,0,9,1,uniform\n";
        let made = engine(&Table::parse(text).unwrap(), "2026-11-28-engine").unwrap();
        for row in [
            "| 64 bytes | 1 000 000 | 160 ns, 6.2 Mpps | – |",
            "| 64 bytes, few flows mostly (Zipf) | 1 000 000 | 148 ns, 6.7 Mpps | – |",
            "| 64 bytes, seven packets a flow | 1 000 000 | 164 ns, 6.1 Mpps | – |",
            "| 7:4:1 mix | 1 000 | – | – |",
        ] {
            assert!(made.contains(row), "{row} is not in {made}");
        }
    }
}
