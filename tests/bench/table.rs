//! Samples by figure and contestant, printed as medians with their spread and as ratios, ours to each peer's.

use std::collections::BTreeMap;

/// The name under which Lifeboat stands in the tables.
pub const OURS: &str = "lifeboat";

/// A figure: what is measured, and what is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    /// Ours to this peer's may be so much in hundredths; nothing where it is only reported.
    pub goal: Option<(&'static str, u32)>,
}

/// All samples so far.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<(Figure, BTreeMap<String, Vec<f64>>)>,
    foreign: Vec<f64>,
}

impl Table {
    /// Adds one sample. Less is better in every figure.
    pub fn add(&mut self, figure: Figure, contestant: &str, sample: f64) {
        let at = match self.rows.iter().position(|(known, _)| *known == figure) {
            Some(at) => at,
            None => {
                self.rows.push((figure, BTreeMap::new()));
                self.rows.len() - 1
            }
        };
        let row = &mut self.rows[at].1;
        row.entry(contestant.to_owned()).or_default().push(sample);
    }

    /// Notes how much of the machine strangers used during a run, in percent.
    pub fn note_foreign(&mut self, percent: f64) {
        self.foreign.push(percent);
    }

    /// Prints everything.
    pub fn show(&self) {
        println!(
            "\nmedians [least - most] of n runs; the ratio is ours to the peer's, below 1 is better than the peer"
        );
        for (figure, row) in &self.rows {
            println!("\n{} ({})", figure.name, figure.unit);
            let ours = row.get(OURS).map(|samples| median(samples));
            for (contestant, samples) in row {
                let ratio = ours.filter(|_| contestant != OURS);
                let ratio = ratio.map_or(String::new(), |ours| {
                    format!("  ratio {:.2}", ours / median(samples))
                });
                let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
                let most = samples.iter().copied().fold(0.0, f64::max);
                println!(
                    "  {contestant:<22} {:>9.2} [{least:.2} - {most:.2}] n={}{ratio}",
                    median(samples),
                    samples.len()
                );
            }
            if let (Some(ours), Some((peer, hundredths))) = (ours, figure.goal) {
                let Some(theirs) = row.get(peer).map(|samples| median(samples)) else {
                    println!("  goal: beside {peer}, which is not here");
                    continue;
                };
                let (ratio, goal) = (ours / theirs, f64::from(hundredths) / 100.0);
                let word = if ratio <= goal { "reached" } else { "MISSED" };
                println!("  goal {goal:.2} of {peer}: {ratio:.2}, {word}");
            }
        }
        if !self.foreign.is_empty() {
            println!(
                "\nothers used {:.0} % of the machine in the median run, {:.0} % in the worst; distrust times above 10 %",
                median(&self.foreign),
                self.foreign.iter().copied().fold(0.0, f64::max)
            );
        }
    }
}

/// The middle sample, or the mean of the two.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (count, half) if count % 2 == 1 => sorted[half],
        (_, half) => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// The sample that so many in a hundred do not exceed.
pub fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at.min(last)).copied().unwrap_or(f64::NAN)
}
