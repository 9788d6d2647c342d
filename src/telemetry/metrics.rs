//! Counters and gauges, shown as Prometheus text (exposition format 0.0.4).
//! There is no global list: whoever counts is given the `Metrics` and keeps its counters in a struct of
//! its own. Counting is one atomic addition; the lock is only for adding a series and for showing them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::model::limits::METRIC_SERIES_MAX;

/// Something that only grows while the process lives.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts `more` of it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Something that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Says what it is now.
    pub fn set(&self, now: i64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// Changes it by `change`.
    pub fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
}

struct Family {
    help: &'static str,
    kind: &'static str,
    series: BTreeMap<String, Series>,
}

/// Everything that is counted in one node. Clones share it.
#[derive(Clone, Default)]
pub struct Metrics {
    families: Arc<Mutex<BTreeMap<&'static str, Family>>>,
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// The counter of this name, which by custom ends in `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.counter_of(name, help, &[])
    }

    /// The counter of this name and these labels. Labels come from the program or from the cluster's
    /// membership, never from a visitor: each value is a series that stays.
    pub fn counter_of(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Counter {
        match self.series(name, help, labels, Series::Counter(Counter::default())) {
            Series::Counter(counter) => counter,
            Series::Gauge(_) => Counter::default(),
        }
    }

    /// The gauge of this name.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.gauge_of(name, help, &[])
    }

    /// The gauge of this name and these labels; of labels as in [`Metrics::counter_of`].
    pub fn gauge_of(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
    ) -> Gauge {
        match self.series(name, help, labels, Series::Gauge(Gauge::default())) {
            Series::Gauge(gauge) => gauge,
            Series::Counter(_) => Gauge::default(),
        }
    }

    /// The series that is already there, else `fresh`, which is then shown from now on. One that
    /// finds no room counts on without being shown.
    fn series(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        fresh: Series,
    ) -> Series {
        let kind = match fresh {
            Series::Counter(_) => "counter",
            Series::Gauge(_) => "gauge",
        };
        let mut families = self.lock();
        let shown: usize = families.values().map(|family| family.series.len()).sum();
        let family = families.entry(name).or_insert(Family {
            help,
            kind,
            series: BTreeMap::new(),
        });
        if let Some(series) = family.series.get(&label_text(labels)) {
            return series.clone();
        }
        if shown >= METRIC_SERIES_MAX || family.kind != kind {
            warn!(name, shown, "a metric is counted but not shown");
            return fresh;
        }
        family.series.insert(label_text(labels), fresh.clone());
        fresh
    }

    /// Everything as Prometheus text, in the order of the names.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, family) in self.lock().iter() {
            let Family { help, kind, .. } = family;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, series) in &family.series {
                let _ = match series {
                    Series::Counter(counter) => writeln!(text, "{name}{labels} {}", counter.get()),
                    Series::Gauge(gauge) => writeln!(text, "{name}{labels} {}", gauge.get()),
                };
            }
        }
        text
    }

    /// A panic while the lock was held leaves a list that is whole, so it is used on.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `{node="a",role="leader"}`, or nothing.
fn label_text(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let one = |(name, value): &(&str, &str)| {
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    let all: Vec<String> = labels.iter().map(one).collect();
    format!("{{{}}}", all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_on_any_thread_is_shown() {
        let metrics = Metrics::new();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let served = metrics.counter("lifeboat_served_total", "Pages served.");
                std::thread::spawn(move || (0..1000).for_each(|_| served.add(1)))
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        metrics
            .gauge_of("lifeboat_lag", "Entries behind.", &[("peer", "a\"b")])
            .set(-2);
        assert_eq!(
            metrics.render(),
            "# HELP lifeboat_lag Entries behind.\n# TYPE lifeboat_lag gauge\nlifeboat_lag{peer=\"a\\\"b\"} -2\n\
             # HELP lifeboat_served_total Pages served.\n# TYPE lifeboat_served_total counter\nlifeboat_served_total 4000\n"
        );
    }

    #[test]
    fn series_beyond_the_limit_count_but_are_not_shown() {
        let metrics = Metrics::new();
        for number in 0..METRIC_SERIES_MAX + 10 {
            metrics
                .counter_of("lifeboat_many", "Many.", &[("number", &number.to_string())])
                .add(1);
        }
        assert_eq!(metrics.render().lines().count(), METRIC_SERIES_MAX + 2);
    }
}
