//! A chart of the memory over the last two minutes, as SVG paths.
//!
//! Owns a fixed number of samples. The scale is fixed by the budget, so the lines are comparable
//! over time. The module does not know the source of the samples.

use std::{collections::VecDeque, fmt::Write, time::Duration};

/// The time between two samples.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// The width of the drawing, in its own units.
pub(crate) const WIDTH: usize = 720;
/// The height of the drawing, in its own units.
pub(crate) const HEIGHT: usize = 200;

#[derive(Debug)]
pub(super) struct Chart {
    budget: u64,
    samples: VecDeque<Sample>,
}

/// The memory at one time, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) used: u64,
    pub(super) resident: Option<u64>,
}

/// The `d` attributes of the paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    pub(crate) budget: String,
    pub(crate) resident: String,
    /// A closed path, which is filled.
    pub(crate) used: String,
}

impl Chart {
    pub(super) fn new(budget: u64) -> Self {
        Self {
            budget,
            samples: VecDeque::with_capacity(SAMPLES),
        }
    }

    /// Adds a sample and drops the oldest one after two minutes.
    pub(super) fn push(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    pub(super) fn lines(&self) -> Lines {
        let mut used = self.path(|sample| Some(sample.used));
        if !used.is_empty() {
            let _ = write!(used, "V{HEIGHT}H{}Z", self.left());
        }
        let budget = format!("M0 {:.1}H{WIDTH}", self.height(self.budget));
        Lines {
            budget,
            resident: self.path(|sample| sample.resident),
            used,
        }
    }

    /// Returns a line through the samples that have the value, with the newest at the right edge.
    fn path(&self, value: impl Fn(&Sample) -> Option<u64>) -> String {
        let mut path = String::new();
        for (at, sample) in self.samples.iter().enumerate() {
            let Some(value) = value(sample) else { continue };
            let verb = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(
                path,
                "{verb}{} {:.1}",
                self.left() + at * STEP,
                self.height(value)
            );
        }
        path
    }

    fn left(&self) -> usize {
        WIDTH - self.samples.len().saturating_sub(1) * STEP
    }

    /// Returns the distance of a value from the top of the drawing; 0 if it is above the top.
    fn height(&self, value: u64) -> f64 {
        let top = (self.budget + self.budget / 4 + HEADROOM) as f64;
        (HEIGHT as f64 * (1.0 - value as f64 / top)).max(0.0)
    }
}

/// Two minutes, with one sample every three units.
const SAMPLES: usize = 240;
const STEP: usize = WIDTH / SAMPLES;

/// The space above the budget, in bytes, for the memory of the program itself.
const HEADROOM: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const MEBI: u64 = 1 << 20;

    fn sample(used: u64) -> Sample {
        Sample {
            used: used * MEBI,
            resident: None,
        }
    }

    #[test]
    fn the_newest_sample_is_at_the_right_edge() {
        let mut chart = Chart::new(64 * MEBI);
        chart.push(sample(0));
        assert_eq!(chart.lines().used, "M720 200.0V200H720Z");
        chart.push(sample(48));
        assert_eq!(chart.lines().used, "M717 200.0L720 100.0V200H717Z");
        assert_eq!(chart.lines().budget, "M0 66.7H720");
        assert_eq!(
            chart.lines().resident,
            "",
            "no line on a system without this figure"
        );
    }

    #[test]
    fn old_samples_fall_out_and_tall_ones_stop_at_the_top() {
        let mut chart = Chart::new(64 * MEBI);
        for _ in 0..SAMPLES * 2 {
            chart.push(sample(1 << 20));
        }
        assert_eq!(chart.samples.len(), SAMPLES);
        assert!(chart.lines().used.starts_with("M3 0.0L6 0.0"));
        assert!(Chart::new(1).lines().used.is_empty());
    }
}
