//! What the fuzz targets run, with their oracles: here, so that a stable compiler replays what they
//! found (`fuzz/artifacts`) and the seeds they grew from (`fuzz/corpus`).

pub(crate) mod fragments;
pub(crate) mod naive;
pub(crate) mod options;
pub(crate) mod reassembly;
pub(crate) mod segments;
pub(crate) mod stacks;
pub(crate) mod trip;
pub(crate) mod twin;
pub(crate) mod witness;

/// Built with `FUZZ_TRACE` set, targets tell what comes and goes.
pub(crate) const TRACE: bool = option_env!("FUZZ_TRACE").is_some();

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rand::rngs::SmallRng;
    use rand::{Rng, RngCore, SeedableRng};

    /// Runs everything that is kept for a target.
    fn replay(target: &str, run: impl Fn(&[u8])) {
        let mut replayed = 0;
        for kept in ["artifacts", "corpus"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(kept);
            let Ok(entries) = fs::read_dir(folder.join(target)) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                println!("{}", path.display());
                run(&fs::read(path).unwrap());
                replayed += 1;
            }
        }
        assert!(replayed > 0, "nothing is kept for {target}");
    }

    #[test]
    fn segments_that_were_found_stay_fixed() {
        replay("segments", super::segments::run);
    }

    /// What is kept was grown for other ends; here the short way is held against the long one.
    #[test]
    fn segments_at_random_fare_the_same_on_the_short_way() {
        let mut rng = SmallRng::seed_from_u64(5);
        for _ in 0..400 {
            let mut bytes = vec![0; rng.random_range(100..600)];
            rng.fill_bytes(&mut bytes);
            super::segments::run(&bytes);
        }
    }

    #[test]
    fn options_that_were_found_stay_fixed() {
        replay("options", super::options::run);
    }

    #[test]
    fn fragments_that_were_found_stay_fixed() {
        replay("fragments", super::fragments::run);
    }

    /// For whoever looks into a finding: `FUZZ_TRACE=1 FUZZ_TARGET=segments FUZZ_FILE=path cargo test
    /// -p tollgate-engine one_kept_file -- --ignored --nocapture`.
    #[test]
    #[ignore = "needs FUZZ_TARGET and FUZZ_FILE"]
    fn one_kept_file() {
        let bytes = fs::read(std::env::var("FUZZ_FILE").unwrap()).unwrap();
        match std::env::var("FUZZ_TARGET").unwrap().as_str() {
            "segments" => super::segments::run(&bytes),
            "options" => super::options::run(&bytes),
            "fragments" => super::fragments::run(&bytes),
            other => panic!("no target {other}"),
        }
    }
}
