//! Operations in flight, and their version floors.
//!
//! Owns a table of the store calls that are in progress for each id. Invariant: the result of an
//! operation enters L1 only if its version is not below the highest one that a message named since
//! the operation began, and if it began in the current generation. The check and the installation
//! happen under the lock of the id's table entry, which the handler of a message takes too; so no
//! message falls between them. Absent ids are remembered within one generation. It does not know
//! what a call does, nor who waits for it.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use sessile::{SessionId, Version};

use super::{
    absent::Absent,
    lease::Lease,
    lock,
    switches::{Rule, Rules},
};

/// The operations of one node. `W` is the type of those that wait for a read.
pub(crate) struct Operations<W> {
    stripes: Box<[Mutex<Stripe<W>>]>,
    in_flight: AtomicUsize,
    next: AtomicU64,
    below_floor: AtomicU64,
    rules: Rules,
}

struct Stripe<W> {
    flights: HashMap<[u8; 16], Vec<Flight<W>>>,
    absent: Absent,
}

/// One operation on an id.
struct Flight<W> {
    number: u64,
    floor: Floor,
    /// Those that wait for a read. `None` for a write.
    waiters: Option<Vec<W>>,
}

/// The lowest version that an operation may install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Floor {
    /// No message named the id since the operation began.
    Zero,
    /// A session has this version, or had it.
    Version(u32),
    /// The id opens nothing any longer.
    Infinite,
}

/// Names one operation. It must be given back to [`Operations::finish`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket {
    id: [u8; 16],
    number: u64,
    generation: u64,
    cutoffs: u64,
    is_write: bool,
}

/// The result of asking for a read.
#[derive(Debug)]
#[must_use]
pub(crate) enum Join<W> {
    /// The read is in progress: its result is given to the waiter too.
    Joined,
    /// The caller starts the read; the waiter was entered.
    Start(Ticket),
    /// The store does not have the id.
    Absent(W),
    /// Too many operations are in flight.
    Full(W),
}

impl<W> Operations<W> {
    /// Creates an empty table.
    pub(crate) fn new(rules: Rules) -> Self {
        let stripe = |_| {
            Mutex::new(Stripe {
                flights: HashMap::new(),
                absent: Absent::new(MAX_ABSENT / STRIPES),
            })
        };
        Self {
            stripes: (0..STRIPES).map(stripe).collect(),
            in_flight: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            below_floor: AtomicU64::new(0),
            rules,
        }
    }

    /// Begins a write. Returns `None` if too many operations are in flight.
    pub(crate) fn begin(&self, id: &SessionId, lease: &Lease) -> Option<Ticket> {
        let mut stripe = self.stripe(&id.to_bytes());
        // A reserved id was absent until now.
        stripe.absent.remove(&id.to_bytes());
        self.reserve()
            .then(|| self.enter(&mut stripe, id, None, lease))
    }

    /// Joins the read of an id if one is in progress whose floor is zero, or begins one. A read
    /// with a higher floor began before a change, which a request that comes now must see.
    pub(crate) fn join(&self, id: &SessionId, waiter: W, lease: &Lease) -> Join<W> {
        let key = id.to_bytes();
        let mut stripe = self.stripe(&key);
        if stripe.absent.contains(&key) {
            return Join::Absent(waiter);
        }
        let flights = stripe.flights.get_mut(&key).into_iter().flatten();
        for flight in flights {
            if let (Floor::Zero, Some(waiters)) = (flight.floor, &mut flight.waiters) {
                waiters.push(waiter);
                return Join::Joined;
            }
        }
        if !self.reserve() {
            return Join::Full(waiter);
        }
        Join::Start(self.enter(&mut stripe, id, Some(vec![waiter]), lease))
    }

    /// Raises the floors of all operations on an id, and calls `invalidate` under the same lock.
    pub(crate) fn raise(&self, id: &[u8; 16], floor: Floor, invalidate: impl FnOnce()) {
        let mut stripe = self.stripe(id);
        for flight in stripe.flights.get_mut(id).into_iter().flatten() {
            flight.floor = flight.floor.max(floor);
        }
        invalidate();
    }

    /// Ends an operation. Calls `install` if a result of this version may enter L1. Returns those
    /// that wait for the read.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is used once")]
    pub(crate) fn finish(
        &self,
        ticket: Ticket,
        version: Option<Version>,
        lease: &Lease,
        install: impl FnOnce(),
    ) -> Vec<W> {
        let mut stripe = self.stripe(&ticket.id);
        let Some(flight) = remove(&mut stripe.flights, &ticket) else {
            return Vec::new();
        };
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Some(version) = version
            && self.may_install(&ticket, flight.floor, version, lease)
        {
            install();
        }
        flight.waiters.unwrap_or_default()
    }

    /// Remembers that the store does not have an id, as a call found that began in `generation`.
    pub(crate) fn remember_absent(&self, id: &SessionId, generation: u64, lease: &Lease) {
        let key = id.to_bytes();
        let mut stripe = self.stripe(&key);
        // Under the lock: `begin_generation` empties the table after the generation was raised.
        if lease.generation() == generation {
            stripe.absent.insert(key);
        }
    }

    /// Waits until no installation of an earlier generation is in progress. The caller has raised
    /// the generation, or the cutoff that installations compare with.
    pub(crate) fn pass_installations(&self) {
        for stripe in &self.stripes {
            drop(lock(stripe));
        }
    }

    /// Waits as [`pass_installations`](Self::pass_installations) does, and forgets the absent ids.
    /// The caller has raised the generation.
    pub(crate) fn begin_generation(&self) {
        for stripe in &self.stripes {
            lock(stripe).absent.clear();
        }
    }

    /// Returns the number of operations in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns the number of results that were below their floor.
    pub(crate) fn below_floor(&self) -> u64 {
        self.below_floor.load(Ordering::Relaxed)
    }

    /// Counts one operation more, unless there are too many.
    fn reserve(&self) -> bool {
        let more = |number| (number < MAX_IN_FLIGHT).then_some(number + 1);
        // The count orders nothing else.
        self.in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    fn enter(
        &self,
        stripe: &mut Stripe<W>,
        id: &SessionId,
        waiters: Option<Vec<W>>,
        lease: &Lease,
    ) -> Ticket {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket {
            id: id.to_bytes(),
            number,
            generation: lease.generation(),
            cutoffs: lease.cutoffs(),
            is_write: waiters.is_none(),
        };
        let flight = Flight {
            number,
            floor: Floor::Zero,
            waiters,
        };
        stripe.flights.entry(ticket.id).or_default().push(flight);
        ticket
    }

    fn may_install(&self, ticket: &Ticket, floor: Floor, version: Version, lease: &Lease) -> bool {
        let generation = lease.generation();
        let is_up = generation & 1 == 1;
        let is_current = ticket.generation == generation
            || !self.rules.has(Rule::FenceOfOperations)
            || !self.rules.has(Rule::LeaseAndFence);
        let has_floor = self.rules.has(Rule::Floors)
            && (!ticket.is_write || self.rules.has(Rule::FloorsOfWrites));
        let is_below = has_floor && Floor::Version(version.get()) < floor;
        if is_below {
            self.below_floor.fetch_add(1, Ordering::Relaxed);
        }
        is_up && is_current && !is_below && ticket.cutoffs == lease.cutoffs()
    }

    fn stripe(&self, id: &[u8; 16]) -> MutexGuard<'_, Stripe<W>> {
        lock(&self.stripes[usize::from(id[0]) % STRIPES])
    }
}

fn remove<W>(
    flights: &mut HashMap<[u8; 16], Vec<Flight<W>>>,
    ticket: &Ticket,
) -> Option<Flight<W>> {
    let list = flights.get_mut(&ticket.id)?;
    let at = list
        .iter()
        .position(|flight| flight.number == ticket.number)?;
    let flight = list.swap_remove(at);
    if list.is_empty() {
        flights.remove(&ticket.id);
    }
    Some(flight)
}

/// The most operations in flight.
pub(crate) const MAX_IN_FLIGHT: usize = 4_096;
/// The number of absent ids that are remembered.
const MAX_ABSENT: usize = 4_096;
/// The number of locks. Two operations on different ids rarely share one.
const STRIPES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> SessionId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        SessionId::from_parts(bytes, 0)
    }

    fn up() -> Lease {
        let lease = Lease::default();
        lease.go_up();
        lease
    }

    fn start(table: &Operations<u32>, id: &SessionId, waiter: u32, lease: &Lease) -> Ticket {
        match table.join(id, waiter, lease) {
            Join::Start(ticket) => ticket,
            other => panic!("the read should start, not {other:?}"),
        }
    }

    fn installs(
        table: &Operations<u32>,
        ticket: Ticket,
        version: u32,
        lease: &Lease,
    ) -> (bool, Vec<u32>) {
        let mut is_installed = false;
        let version = Some(Version::new(version));
        let waiters = table.finish(ticket, version, lease, || is_installed = true);
        (is_installed, waiters)
    }

    #[test]
    fn misses_of_one_id_join_one_read() {
        let (table, lease) = (Operations::new(Rules::default()), up());
        let ticket = start(&table, &id(1), 1, &lease);
        assert!(matches!(table.join(&id(1), 2, &lease), Join::Joined));
        let other = start(&table, &id(2), 3, &lease);
        let (is_installed, finished) = installs(&table, ticket, 1, &lease);
        assert_eq!((is_installed, finished), (true, vec![1, 2]));
        let (_, finished) = installs(&table, other, 1, &lease);
        assert_eq!(finished, [3]);
        assert_eq!(table.in_flight(), 0);
    }

    #[test]
    fn a_request_does_not_join_a_read_that_began_before_a_message() {
        let (table, lease) = (Operations::new(Rules::default()), up());
        let first = start(&table, &id(1), 1, &lease);
        table.raise(&id(1).to_bytes(), Floor::Infinite, || ());
        let second = start(&table, &id(1), 2, &lease);
        let (is_installed, finished) = installs(&table, first, 9, &lease);
        assert_eq!((is_installed, finished), (false, vec![1]));
        let (is_installed, finished) = installs(&table, second, 9, &lease);
        assert_eq!((is_installed, finished), (true, vec![2]));
    }

    #[test]
    fn a_result_below_the_floor_is_not_installed() {
        let (table, lease) = (Operations::new(Rules::default()), up());
        for (version, is_expected) in [(4, false), (5, true), (6, true)] {
            let ticket = table.begin(&id(1), &lease).expect("room");
            table.raise(&id(1).to_bytes(), Floor::Version(5), || ());
            table.raise(&id(1).to_bytes(), Floor::Version(3), || ());
            assert_eq!(installs(&table, ticket, version, &lease).0, is_expected);
        }
        assert_eq!(table.below_floor(), 1);
    }

    #[test]
    fn a_result_of_another_generation_is_not_installed() {
        let (table, lease) = (Operations::new(Rules::default()), up());
        let before = table.begin(&id(1), &lease).expect("room");
        lease.go_down();
        let during = table.begin(&id(1), &lease).expect("room");
        let early = table.begin(&id(1), &lease).expect("room");
        assert!(!installs(&table, early, 1, &lease).0, "the channel is down");
        lease.go_up();
        assert!(!installs(&table, before, 1, &lease).0);
        assert!(!installs(&table, during, 1, &lease).0);
        let after = table.begin(&id(1), &lease).expect("room");
        assert!(installs(&table, after, 1, &lease).0);
    }

    #[test]
    fn a_result_from_before_an_end_of_all_is_not_installed() {
        let (table, lease) = (Operations::new(Rules::default()), up());
        let ticket = table.begin(&id(1), &lease).expect("room");
        lease.count_cutoff();
        assert!(!installs(&table, ticket, 1, &lease).0);
    }

    #[test]
    fn the_number_of_operations_is_bounded() {
        let (table, lease) = (Operations::<u32>::new(Rules::default()), up());
        let tickets: Vec<_> = (0..MAX_IN_FLIGHT as u32)
            .map(|number| table.begin(&id(number), &lease).expect("room"))
            .collect();
        assert!(table.begin(&id(0), &lease).is_none());
        assert!(matches!(table.join(&id(0), 7, &lease), Join::Full(7)));
        for ticket in tickets {
            installs(&table, ticket, 1, &lease);
        }
        assert_eq!(table.in_flight(), 0);
        assert!(table.begin(&id(0), &lease).is_some());
    }

    #[test]
    fn an_absent_id_is_not_read_again() {
        let (table, lease) = (Operations::new(Rules::default()), up());
        table.remember_absent(&id(1), lease.generation(), &lease);
        assert!(matches!(table.join(&id(1), 1, &lease), Join::Absent(1)));
        let _ = start(&table, &id(2), 2, &lease);
    }

    #[test]
    fn an_absent_id_is_read_again_in_the_next_generation() {
        let (table, lease) = (Operations::new(Rules::default()), up());
        let before = lease.generation();
        table.remember_absent(&id(1), before, &lease);
        lease.go_down();
        table.begin_generation();
        lease.go_up();
        table.begin_generation();
        table.remember_absent(&id(2), before, &lease);
        let _ = start(&table, &id(1), 1, &lease);
        let _ = start(&table, &id(2), 2, &lease);
    }
}
