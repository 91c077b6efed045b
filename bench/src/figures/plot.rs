//! Pictures of a run of the lab, as SVG: a panel for each measure, a bar for each forwarder, a line from the least
//! to the greatest round. Written by hand, as bars and words need no library.

use std::fmt::Write as _;

use super::record::{Lab, MEASURES, Measure, Spread};

const WIDTH: usize = 860;
const LABEL: usize = 110;
const BAR: usize = 520;
const ROW: usize = 20;
const HEAD: usize = 34;
const GAP: usize = 16;
const TOP: usize = 58;

/// The picture. `notes` are printed beneath the title: machine, date, commit.
#[must_use]
pub fn svg(lab: &Lab, notes: &str) -> String {
    let measures: Vec<_> = MEASURES.iter().filter(|measure| lab.has(measure.name)).collect();
    let forwarders = lab.forwarders();
    let panel = HEAD + forwarders.len() * ROW + GAP;
    let height = TOP + measures.len() * panel + GAP;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{GAP}\" y=\"26\" font-size=\"17\" font-weight=\"bold\">What standing in the wire costs</text>\n\
         <text x=\"{GAP}\" y=\"45\" fill=\"#555555\">{}</text>\n",
        escaped(notes)
    );
    for (nth, measure) in measures.into_iter().enumerate() {
        panel_of(&mut out, lab, measure, &forwarders, TOP + nth * panel);
    }
    out + "</svg>\n"
}

fn panel_of(out: &mut String, lab: &Lab, measure: &Measure, forwarders: &[&str], top: usize) {
    let spreads: Vec<_> =
        forwarders.iter().map(|forwarder| lab.spread(forwarder, measure.name)).collect();
    let most =
        spreads.iter().flatten().map(|spread| spread.greatest).fold(f64::MIN_POSITIVE, f64::max);
    let better = if measure.more_is_better { "more is better" } else { "less is better" };
    let _ = writeln!(
        out,
        "<text x=\"{GAP}\" y=\"{}\" font-weight=\"bold\">{}, {} <tspan fill=\"#777777\" font-weight=\"normal\">({better})</tspan></text>",
        top + 22,
        escaped(measure.title),
        escaped(measure.unit),
    );
    for (nth, (forwarder, spread)) in forwarders.iter().zip(spreads).enumerate() {
        let y = top + HEAD + nth * ROW;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LABEL - 8,
            y + 13,
            escaped(forwarder)
        );
        match spread {
            Some(spread) => bar(out, measure, spread, most, y, colour(forwarder)),
            None => {
                let _ = writeln!(
                    out,
                    "<text x=\"{LABEL}\" y=\"{}\" fill=\"#999999\">not measured</text>",
                    y + 13
                );
            }
        }
    }
}

fn bar(out: &mut String, measure: &Measure, spread: Spread, most: f64, y: usize, colour: &str) {
    let at = |value: f64| value / most * BAR as f64;
    let (low, high) = (LABEL as f64 + at(spread.least), LABEL as f64 + at(spread.greatest));
    let middle = y + 9;
    let _ = writeln!(
        out,
        "<rect x=\"{LABEL}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
         <path d=\"M{low:.1} {middle}H{high:.1}M{low:.1} {}v8M{high:.1} {}v8\" stroke=\"#222222\" fill=\"none\"/>\
         <text x=\"{:.1}\" y=\"{}\">{}</text>",
        y + 2,
        at(spread.median),
        ROW - 6,
        middle - 4,
        middle - 4,
        high + 8.0,
        y + 13,
        measure.print(spread.median),
    );
}

/// Ours stand out; so do the two that are not ours to beat.
fn colour(forwarder: &str) -> &'static str {
    match forwarder {
        "bridge" | "redirect" | "bare" => "#b8c4ce",
        "suricata" => "#d9a066",
        _ => "#4a7fb5",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::record::Table;

    #[test]
    fn every_forwarder_has_a_bar_in_every_panel_that_was_measured() {
        let text = "round,forwarder,measure,value,unit\n1,bare,goodput_1514,5472,Mbit/s\n2,bare,goodput_1514,5000,Mbit/s\n\
                    1,lua,goodput_1514,2600,Mbit/s\n1,lua,connections,9000,1/s\n";
        let lab = Lab::from(&Table::parse(text).unwrap()).unwrap();
        let made = svg(&lab, "a machine & <a commit>");
        assert_eq!(made.matches("fill=\"#4a7fb5\"").count(), 2, "{made}");
        assert_eq!(made.matches("not measured").count(), 1);
        assert!(made.contains("a machine &amp; &lt;a commit&gt;"));
        assert!(
            made.contains(&format!("width=\"{BAR}.0\"")) || made.contains("width=\"475.2\""),
            "{made}"
        );
    }
}
