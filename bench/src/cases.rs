//! What the engine is measured with.

/// One kind of traffic.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What connections do.
    pub kind: Kind,
    /// How many there are, or may be at a time.
    pub flows: usize,
    /// Lengths of data frames.
    pub mix: Mix,
    /// Who speaks how often.
    pub spread: Spread,
    /// Who listens.
    pub rules: Rules,
    /// Of a hundred frames so many come before the one that they should follow.
    pub early: u32,
}

/// What connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They are open, and both sides send.
    Data,
    /// They are opened, say one thing, and are closed: seven packets.
    Churn,
}

/// Lengths of data frames, without FCS: what is called 64 bytes on the wire is 60 here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// All alike.
    Fixed(usize),
    /// The simple Internet mix: of twelve frames seven of 64, four of 594 and one of 1518 bytes.
    Internet,
}

/// Who speaks how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All in turn, none near the last: the worst case for caches.
    Uniform,
    /// Few of them mostly.
    Zipf,
}

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Nobody.
    None,
    /// A rule in Rust that is shown all data and does nothing.
    Empty,
    /// One that looks at the first byte.
    Look,
}

impl Case {
    /// Tells it from all others.
    #[must_use]
    pub fn name(&self) -> String {
        let frame = match self.mix {
            Mix::Fixed(len) => len.to_string(),
            Mix::Internet => "imix".to_owned(),
        };
        let kind = match (self.kind, self.spread) {
            (Kind::Churn, _) => "churn",
            (Kind::Data, Spread::Uniform) => "uniform",
            (Kind::Data, Spread::Zipf) => "zipf",
        };
        format!("{frame}x{}-{}-{}-{kind}", self.flows, self.rules.name(), self.early)
    }
}

impl Mix {
    /// Lengths in turn. Those of the Internet mix are spread, so that a burst has all of them.
    #[must_use]
    pub fn lengths(self) -> Vec<usize> {
        match self {
            Self::Fixed(len) => vec![len],
            Self::Internet => [60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 60, 590].to_vec(),
        }
    }

    /// The mean of them.
    #[must_use]
    pub fn mean_len(self) -> f64 {
        let lengths = self.lengths();
        lengths.iter().sum::<usize>() as f64 / lengths.len() as f64
    }
}

impl Rules {
    /// As the table calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Empty => "empty",
            Self::Look => "look",
        }
    }
}

const SMALL: Mix = Mix::Fixed(60);
const FULL: Mix = Mix::Fixed(1514);

const fn case(mix: Mix, flows: usize, rules: Rules, early: u32) -> Case {
    Case { kind: Kind::Data, flows, mix, spread: Spread::Uniform, rules, early }
}

const fn zipf(mix: Mix, flows: usize) -> Case {
    Case { spread: Spread::Zipf, ..case(mix, flows, Rules::None, 0) }
}

const fn churn(flows: usize) -> Case {
    Case { kind: Kind::Churn, ..case(SMALL, flows, Rules::None, 0) }
}

/// All of them, from few flows to many.
pub const CASES: [Case; 27] = [
    case(SMALL, 1_000, Rules::None, 0),
    case(SMALL, 1_000, Rules::Empty, 0),
    case(SMALL, 1_000, Rules::Look, 0),
    case(SMALL, 10_000, Rules::None, 0),
    case(SMALL, 10_000, Rules::Empty, 0),
    case(SMALL, 10_000, Rules::None, 1),
    case(SMALL, 10_000, Rules::None, 5),
    case(Mix::Internet, 10_000, Rules::None, 0),
    case(Mix::Internet, 10_000, Rules::Look, 0),
    case(FULL, 1_000, Rules::None, 0),
    case(FULL, 1_000, Rules::Look, 0),
    case(FULL, 1_000, Rules::None, 1),
    case(FULL, 1_000, Rules::Look, 1),
    case(FULL, 1_000, Rules::None, 5),
    case(FULL, 1_000, Rules::Look, 5),
    case(FULL, 10_000, Rules::None, 0),
    case(SMALL, 100_000, Rules::None, 0),
    case(SMALL, 1_000_000, Rules::None, 0),
    case(SMALL, 1_000_000, Rules::Look, 0),
    zipf(SMALL, 1_000_000),
    zipf(Mix::Internet, 1_000_000),
    case(Mix::Internet, 1_000_000, Rules::None, 0),
    case(FULL, 1_000_000, Rules::None, 0),
    case(FULL, 1_000_000, Rules::Look, 0),
    churn(1_000_000),
    zipf(SMALL, 10_000_000),
    case(SMALL, 10_000_000, Rules::None, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_cases_have_a_name_that_is_part_of_another() {
        for (at, case) in CASES.iter().enumerate() {
            let name = case.name();
            let found = CASES.iter().position(|other| other.name().contains(&name));
            assert_eq!(found, Some(at), "{name}");
            let alike = CASES.iter().filter(|other| other.name().contains(&name)).count();
            assert_eq!(alike, 1, "{name}");
        }
    }

    #[test]
    fn the_internet_mix_is_seven_four_one() {
        let lengths = Mix::Internet.lengths();
        let count = |len| lengths.iter().filter(|&&other| other == len).count();
        assert_eq!([60, 590, 1514].map(count), [7, 4, 1]);
    }
}
