//! Rounds in which the entrants take turns, so that noise of the machine affects all alike.
//!
//! Does not know the operations of an entrant or the meaning of its figure.

/// A named measurement: one call is one round and returns one figure.
pub(crate) struct Entrant<'a> {
    pub(crate) name: String,
    run: Box<dyn FnMut() -> f64 + 'a>,
}

/// The figures of one entrant, one per round, in ascending order.
pub(crate) struct Sample {
    pub(crate) name: String,
    figures: Vec<f64>,
}

impl<'a> Entrant<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() -> f64 + 'a) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// Runs `rounds` rounds of all entrants; the first entrant changes from round to round.
pub(crate) fn run(mut entrants: Vec<Entrant<'_>>, rounds: usize) -> Vec<Sample> {
    let count = entrants.len();
    let mut figures = vec![Vec::with_capacity(rounds); count];
    for round in 0..rounds {
        for turn in 0..count {
            let at = (round + turn) % count;
            figures[at].push((entrants[at].run)());
        }
    }
    let sample = |(entrant, mut figures): (Entrant<'_>, Vec<f64>)| {
        figures.sort_by(f64::total_cmp);
        Sample {
            name: entrant.name,
            figures,
        }
    };
    entrants.into_iter().zip(figures).map(sample).collect()
}

impl Sample {
    pub(crate) fn min(&self) -> f64 {
        self.figures.first().copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.figures
            .get(self.figures.len() / 2)
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// Returns the sample with that name.
pub(crate) fn named<'a>(samples: &'a [Sample], name: &str) -> &'a Sample {
    let found = samples.iter().find(|sample| sample.name == name);
    found.expect("an axis only names its own samples")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entrants_take_turns_and_the_first_changes() {
        let turns = std::cell::RefCell::new(String::new());
        let entrant = |name: &'static str| {
            let turns = &turns;
            Entrant::new(name, move || {
                turns.borrow_mut().push_str(name);
                turns.borrow().len() as f64
            })
        };
        let samples = run(vec![entrant("a"), entrant("b"), entrant("c")], 3);
        assert_eq!(*turns.borrow(), "abcbcacab");
        assert_eq!((samples[0].min(), samples[0].median()), (1.0, 6.0));
        assert_eq!(named(&samples, "c").min(), 3.0);
    }
}
