//! Bytes of an attacker's choice for what reads protocols here: DNS messages, HTTP conversations, streams under a
//! grammar. The fuzz targets of these names run [`dns::run`], [`http::run`] and [`grammar::run`]; what they found
//! and the seeds they grew from are replayed here.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![expect(clippy::print_stdout, reason = "which file it was that fails")]

#[path = "../common/mod.rs"]
mod common;
mod dns;
mod grammar;
mod http;

fn replay(target: &str, run: fn(&[u8])) {
    let mut replayed = 0;
    for kept in ["artifacts", "corpus"] {
        let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        let Ok(entries) = std::fs::read_dir(fuzz.join(kept).join(target)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            run(&std::fs::read(path).unwrap());
            replayed += 1;
        }
    }
    assert!(replayed > 0, "nothing is kept");
}

#[test]
fn messages_of_dns_that_were_found_stay_fixed() {
    replay("dns", dns::run);
}

#[test]
fn conversations_of_http_that_were_found_stay_fixed() {
    replay("http", http::run);
}

#[test]
fn streams_under_a_grammar_that_were_found_stay_fixed() {
    replay("grammar", grammar::run);
}
