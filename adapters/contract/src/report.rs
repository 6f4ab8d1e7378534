//! The report of a run: one line per case.

use std::{fmt, io};

use crate::{CASES, Case, Site};

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The application satisfies the case.
    Passed,
    /// The application violates the case, for this reason.
    Failed(String),
    /// The case needs a feature that the application does not claim.
    Skipped(&'static str),
}

/// The results of all cases, in order.
#[derive(Clone, Debug, Default)]
pub struct Report(pub Vec<(&'static str, Outcome)>);

/// Runs the cases whose names contain one of the words against an application, or all cases without
/// words.
///
/// # Errors
/// If the application cannot be reached, or does not list its features.
pub fn run(base_url: &str, words: &[impl AsRef<str>]) -> io::Result<Report> {
    let site = Site::of_contract(base_url)?;
    let is_chosen = |case: &&Case| {
        words.is_empty() || words.iter().any(|word| case.name.contains(word.as_ref()))
    };
    let outcome = |case: &Case| (case.name, case.check(&site));
    Ok(Report(
        CASES.iter().filter(is_chosen).map(outcome).collect(),
    ))
}

impl Report {
    /// Returns true if no case failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self
            .0
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
    }

    fn count(&self, is_counted: fn(&Outcome) -> bool) -> usize {
        self.0
            .iter()
            .filter(|(_, outcome)| is_counted(outcome))
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.0 {
            match outcome {
                Outcome::Passed => writeln!(f, "ok    {name}")?,
                Outcome::Failed(how) => writeln!(f, "FAIL  {name}: {how}")?,
                Outcome::Skipped(feature) => writeln!(f, "skip  {name}: no feature {feature}")?,
            }
        }
        let passed = self.count(|outcome| *outcome == Outcome::Passed);
        let skipped = self.count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let failed = self.0.len() - passed - skipped;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}
