//! Captures of an attacker's choice. The fuzz target `capture` runs [`capture::run`]; what it found
//! and the seeds it grew from are replayed here.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod capture;

#[test]
fn captures_that_were_found_stay_fixed() {
    let mut replayed = 0;
    for kept in ["artifacts", "corpus"] {
        let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        let Ok(entries) = std::fs::read_dir(fuzz.join(kept).join("capture")) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            capture::run(&std::fs::read(path).unwrap());
            replayed += 1;
        }
    }
    assert!(replayed > 0, "nothing is kept");
}
