//! Rules of the protocol that a test can switch off, to show that the simulator finds their
//! absence.
//!
//! Outside of tests every rule is in force, and the checks compile to constants.

/// The rules in force: all but at most one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    #[cfg(any(test, feature = "__internals"))]
    missing: Option<Rule>,
}

/// A rule that a test can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Operations keep a version floor.
    Floors,
    /// Writes keep a version floor too, and not only reads.
    FloorsOfWrites,
    /// L1 answers during the lease only, and a lost channel is a fence.
    LeaseAndFence,
    /// The result of an operation that began before a fence does not enter L1.
    FenceOfOperations,
    /// Without push, an entry of L1 is opened during its own lease only.
    EntryLease,
    /// L1 is emptied, and operations are void, when the channel is established again.
    FenceAtReconnection,
    /// Retirements of the last minute are asserted again after a reconnection.
    RetirementsAgain,
    /// Ends at the session limit are asserted again after a reconnection.
    LimitEndsAgain,
}

impl Rules {
    /// All rules but one.
    #[cfg(any(test, feature = "__internals"))]
    #[must_use]
    pub fn without(rule: Rule) -> Self {
        Self {
            missing: Some(rule),
        }
    }

    /// Returns true if a rule is in force.
    #[inline]
    pub(crate) fn has(self, rule: Rule) -> bool {
        #[cfg(any(test, feature = "__internals"))]
        return self.missing != Some(rule);
        #[cfg(not(any(test, feature = "__internals")))]
        {
            let _ = rule;
            true
        }
    }
}
