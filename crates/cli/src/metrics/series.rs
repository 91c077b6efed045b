//! Series that are registered once and then set by position, so that a refresh hashes nothing.

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, SharedString, Unit,
};

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// A number that only grows, or one that goes up and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// Since the start.
    Total(u64),
    /// At this moment.
    Level(f64),
}

/// One sample of a page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// By Prometheus' conventions: `_total`, base units.
    pub(crate) name: &'static str,
    /// The HELP line.
    pub(crate) help: &'static str,
    /// Names and values, besides those of the whole series.
    pub(crate) labels: Vec<(&'static str, String)>,
    /// What it is worth now.
    pub(crate) value: Value,
}

impl Sample {
    /// A counter.
    #[must_use]
    pub(crate) fn total(
        (name, help): (&'static str, &'static str),
        labels: &[(&'static str, &str)],
        value: u64,
    ) -> Self {
        Self { name, help, labels: owned(labels), value: Value::Total(value) }
    }

    /// A gauge.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double; beyond 2^53 it rounds")]
    pub(crate) fn level(
        (name, help): (&'static str, &'static str),
        labels: &[(&'static str, &str)],
        value: i64,
    ) -> Self {
        Self { name, help, labels: owned(labels), value: Value::Level(value as f64) }
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// Series that share labels: those of one worker, or of one pair.
#[derive(Debug)]
pub(crate) struct Series {
    shared: Vec<Label>,
    handles: Vec<Handle>,
}

#[derive(Debug)]
enum Handle {
    Total(Counter),
    Level(Gauge),
}

impl Series {
    /// Series with these labels besides their own.
    #[must_use]
    pub(crate) fn new(shared: &[(&'static str, &str)]) -> Self {
        let label = |(name, value): &(&'static str, &str)| Label::new(*name, (*value).to_owned());
        Self { shared: shared.iter().map(label).collect(), handles: Vec::new() }
    }

    /// Sets all values. The samples must come in the same order each time; those that come for
    /// the first time are registered.
    pub(crate) fn set(&mut self, samples: impl IntoIterator<Item = Sample>) {
        for (position, sample) in samples.into_iter().enumerate() {
            if self.handles.len() <= position {
                let handle = self.register(&sample);
                self.handles.push(handle);
            }
            match (self.handles.get(position), sample.value) {
                (Some(Handle::Total(counter)), Value::Total(value)) => counter.absolute(value),
                (Some(Handle::Level(gauge)), Value::Level(value)) => gauge.set(value),
                _ => debug_assert!(false, "samples come in the same order: {}", sample.name),
            }
        }
    }

    /// A histogram with the shared labels.
    pub(crate) fn histogram(
        &self,
        (name, help): (&'static str, &'static str),
        unit: Unit,
    ) -> Histogram {
        let key = Key::from_parts(name, self.shared.clone());
        metrics::with_recorder(|recorder| {
            recorder.describe_histogram(
                KeyName::from_const_str(name),
                Some(unit),
                SharedString::const_str(help),
            );
            recorder.register_histogram(&key, &METADATA)
        })
    }

    fn register(&self, sample: &Sample) -> Handle {
        let own = sample.labels.iter().map(|(name, value)| Label::new(*name, value.clone()));
        let labels: Vec<_> = self.shared.iter().cloned().chain(own).collect();
        let key = Key::from_parts(sample.name, labels);
        let (name, help) =
            (KeyName::from_const_str(sample.name), SharedString::const_str(sample.help));
        metrics::with_recorder(|recorder| match sample.value {
            Value::Total(_) => {
                recorder.describe_counter(name, None, help);
                Handle::Total(recorder.register_counter(&key, &METADATA))
            }
            Value::Level(_) => {
                recorder.describe_gauge(name, None, help);
                Handle::Level(recorder.register_gauge(&key, &METADATA))
            }
        })
    }
}
