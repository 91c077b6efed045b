//! The map of edits against a naive one: the list of every place that both numberings know.

use tollgate_tcp::EditMap;
use tollgate_wire::Seq;

/// Places as (input, output), from the first number on; a unit that stays makes one place, an edit one
/// at its end.
pub(crate) struct Naive {
    places: Vec<(i64, i64)>,
    /// Index of the places where the edits begin and end that are not forgotten.
    edits: Vec<(usize, usize)>,
    edits_max: usize,
}

impl Naive {
    pub(crate) fn new(edits_max: usize) -> Self {
        Self { places: vec![(0, 0)], edits: Vec::new(), edits_max }
    }

    fn edge(&self) -> (i64, i64) {
        *self.places.last().unwrap()
    }

    pub(crate) fn keep(&mut self, units: u32) {
        for _ in 0..units {
            let (input, output) = self.edge();
            self.places.push((input + 1, output + 1));
        }
    }

    pub(crate) fn replace(&mut self, taken: u32, given: u32) {
        if taken == given {
            return self.keep(taken);
        }
        let (input, output) = self.edge();
        let mut start = self.places.len() - 1;
        if self.edits.len() >= self.edits_max {
            start = self.edits.pop().unwrap().0;
            self.places.truncate(start + 1);
        }
        self.places.push((input + i64::from(taken), output + i64::from(given)));
        self.edits.push((start, self.places.len() - 1));
    }

    pub(crate) fn acknowledged(&mut self, output: i64) {
        self.edits.retain(|(_, end)| self.places[*end].1 > output);
    }

    fn output_from(&self, input: i64) -> i64 {
        self.places.iter().rfind(|place| place.0 <= input).unwrap().1
    }

    fn output_to(&self, input: i64) -> i64 {
        self.places.iter().find(|place| place.0 >= input).unwrap().1
    }

    fn input_to(&self, output: i64) -> i64 {
        self.places.iter().rfind(|place| place.1 <= output).unwrap().0
    }

    fn input_from(&self, output: i64) -> i64 {
        self.places.iter().find(|place| place.1 >= output).unwrap().0
    }

    /// Every question about what is not acknowledged, and some about what is or is yet to come.
    pub(crate) fn compare(&self, map: &EditMap, start: Seq, acknowledged: i64) {
        let seq = |offset: i64| start + u32::try_from(offset).unwrap();
        let (input, output) = self.edge();
        assert_eq!((map.edge().input, map.edge().output), (seq(input), seq(output)));
        assert!(map.edits() <= self.edits_max);
        for place in self.input_to(acknowledged)..=input {
            assert_eq!(map.output_from(seq(place)), seq(self.output_from(place)), "from {place}");
            assert_eq!(map.output_to(seq(place)), seq(self.output_to(place)), "to {place}");
        }
        for place in acknowledged..=output {
            assert_eq!(map.input_to(seq(place)), seq(self.input_to(place)), "back to {place}");
            let (back, naive) = (map.input_from(seq(place)), seq(self.input_from(place)));
            // What was erased right before what is acknowledged may be forgotten.
            let forgotten = place == acknowledged
                && back.at_or_after(naive)
                && back.at_or_before(map.input_to(seq(place)));
            assert!(back == naive || forgotten, "back from {place}: {back} or {naive}");
        }
        for beyond in 1..4 {
            assert_eq!(map.output_from(seq(input + beyond)), seq(output + beyond));
            assert_eq!(map.output_to(seq(input + beyond)), seq(output + beyond));
            assert_eq!(map.input_to(seq(output + beyond)), seq(input + beyond));
            assert_eq!(map.input_from(seq(output + beyond)), seq(input + beyond));
        }
        // What is old stays old.
        let (old_input, old_output) = (self.input_to(acknowledged), acknowledged);
        for before in 1..4 {
            assert!(map.input_to(seq(old_output) - before).at_or_before(seq(old_input)));
            assert!(map.output_from(seq(old_input) - before).at_or_before(seq(old_output)));
        }
    }
}

/// Runs a program of bytes against both maps: where the stream begins, how many edits are remembered,
/// and then three bytes an operation.
pub(crate) fn run(program: &[u8]) {
    let [a, b, c, d, edits_max, ops @ ..] = program else { return };
    let start = Seq(u32::from_be_bytes([*a, *b, *c, *d]));
    let edits_max = if *edits_max < 128 { 1024 } else { usize::from(*edits_max % 4) + 1 };
    let mut map = EditMap::with_edits_max(start, edits_max);
    let mut naive = Naive::new(edits_max);
    let mut acknowledged = 0;
    for op in ops.chunks_exact(3).take(OPS_MAX) {
        let [kind, one, other] = [op[0] % 3, op[1] % 8, op[2] % 8].map(u32::from);
        match kind {
            0 => {
                map.keep(one);
                naive.keep(one);
            }
            1 => {
                map.replace(one + 1, other);
                naive.replace(one + 1, other);
            }
            _ => {
                // A part of what is not acknowledged, in 256ths.
                let (_, edge) = naive.edge();
                acknowledged += (edge - acknowledged) * i64::from(op[1]) / 255;
                map.acknowledged(start + u32::try_from(acknowledged).unwrap());
                naive.acknowledged(acknowledged);
            }
        }
        naive.compare(&map, start, acknowledged);
    }
}

/// Each is followed by every question there is.
const OPS_MAX: usize = 60;

#[cfg(test)]
proptest::proptest! {
    #[test]
    fn both_numberings_agree_with_the_list_of_all_places(
        start in proptest::prop_oneof![proptest::num::u32::ANY, u32::MAX - 40..=u32::MAX],
        program in proptest::collection::vec(proptest::num::u8::ANY, 1..150),
    ) {
        run(&[&start.to_be_bytes(), &program[..]].concat());
    }
}

#[test]
fn an_acknowledgment_inside_an_edit_acknowledges_nothing_of_it() {
    let mut map = EditMap::new(Seq(u32::MAX));
    map.keep(2);
    map.replace(1, 10);
    map.keep(3);
    assert_eq!(map.input_to(Seq(1)), Seq(1));
    assert_eq!(map.input_to(Seq(10)), Seq(1));
    map.acknowledged(Seq(10));
    assert_eq!(map.input_to(Seq(10)), Seq(1));
    assert_eq!(map.input_to(Seq(11)), Seq(2));
    assert_eq!(map.output_from(Seq(1)), Seq(1));
    map.acknowledged(Seq(11));
    assert_eq!((map.edits(), map.is_identity()), (0, false));
}

#[test]
fn what_is_erased_is_acknowledged_with_what_was_before_it() {
    let mut map = EditMap::new(Seq(100));
    map.keep(5);
    map.replace(5, 0);
    assert_eq!(map.input_to(Seq(104)), Seq(104));
    assert_eq!(map.input_to(Seq(105)), Seq(110));
    assert_eq!((map.output_from(Seq(107)), map.output_to(Seq(107))), (Seq(105), Seq(105)));
}
