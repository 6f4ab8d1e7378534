//! The only file that names a lock or an atomic type, with its twin for loom under `sessile_loom`.
//!
//! Loom models the locks of a cache and leaves its words to the machine: there are too many of them. What
//! reads words without a lock is modelled on a region of a few, which are loom's own.

pub(crate) use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use core::{ops::Deref, sync::atomic::Ordering};
use std::sync::Arc;

/// A word that several threads may read and write.
pub trait Word: Sized {
    /// A word that says this.
    fn new(value: u64) -> Self;
    /// What it says.
    fn load(&self, order: Ordering) -> u64;
    /// Has it say this.
    fn store(&self, value: u64, order: Ordering);
}

impl Word for AtomicU64 {
    #[inline(always)]
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
}

/// A fixed number of things, which clones share.
pub(crate) struct Fixed<T>(Arc<Box<[T]>>);

impl<T> Fixed<T> {
    /// So many of them. `None` if there is no such memory.
    #[allow(
        clippy::redundant_allocation,
        reason = "an `Arc` of the things themselves cannot be asked for in vain"
    )]
    pub(crate) fn new(len: usize, make: impl FnMut() -> T) -> Option<Self> {
        let mut things = Vec::new();
        things.try_reserve_exact(len).ok()?;
        things.resize_with(len, make);
        Some(Self(Arc::new(things.into_boxed_slice())))
    }
}

impl<T> Clone for Fixed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Fixed<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

/// The fences of the protocol in `shard::version`, by what they come after or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// After a shard's lock was taken, before its words are written. Release.
    Locked,
    /// After a version was made odd, before what it covers is written. Release.
    Opened,
    /// After words were read, before their version is read again. Acquire.
    Read,
}

impl Fence {
    fn order(self) -> Ordering {
        match self {
            Self::Locked | Self::Opened => Release,
            Self::Read => Acquire,
        }
    }
}

#[cfg(not(sessile_loom))]
#[inline(always)]
pub(crate) fn fence(which: Fence) {
    core::sync::atomic::fence(which.order());
}

#[cfg(sessile_loom)]
pub(crate) use modelled::fence;

#[cfg(sessile_loom)]
pub mod modelled {
    //! Loom's words and fences, and the way to leave a fence out.

    use core::{cell::Cell, sync::atomic::Ordering};

    use crate::sync::{Fence, Word};

    /// Loom's word.
    pub struct Modelled(loom::sync::atomic::AtomicU64);

    impl Word for Modelled {
        fn new(value: u64) -> Self {
            Self(loom::sync::atomic::AtomicU64::new(value))
        }

        fn load(&self, order: Ordering) -> u64 {
            self.0.load(order)
        }

        fn store(&self, value: u64, order: Ordering) {
            self.0.store(value, order);
        }
    }

    /// Leaves a fence out of what this thread of the operating system models from now on.
    pub fn drop_fence(which: Option<Fence>) {
        DROPPED.set(which);
    }

    pub(crate) fn fence(which: Fence) {
        if DROPPED.get() != Some(which) {
            loom::sync::atomic::fence(which.order());
        }
    }

    std::thread_local! {
        static DROPPED: Cell<Option<Fence>> = const { Cell::new(None) };
    }
}

#[cfg(not(sessile_loom))]
mod lock {
    use parking_lot::{Mutex, MutexGuard, RwLock};

    use crate::sync::{Fence, fence};

    /// A lock that says nothing about who holds it: parking_lot's, without poisoning.
    pub struct Lock<T>(Mutex<T>);

    /// A lock that is held.
    pub type Guard<'a, T> = MutexGuard<'a, T>;

    impl<T> Lock<T> {
        /// A lock around this.
        pub fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let guard = self.0.lock();
            fence(Fence::Locked);
            guard
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let guard = self.0.try_lock()?;
            fence(Fence::Locked);
            Some(guard)
        }

        /// Lets go of the lock and hands it to the one that waits longest, if any does.
        pub(crate) fn unlock_fair(guard: MutexGuard<'_, T>) {
            MutexGuard::unlock_fair(guard);
        }
    }

    /// Many readers or one writer.
    pub(crate) struct Shared<T>(RwLock<T>);

    impl<T> Shared<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(RwLock::new(value))
        }

        pub(crate) fn read<R>(&self, with: impl FnOnce(&T) -> R) -> R {
            with(&self.0.read())
        }

        pub(crate) fn write<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
            with(&mut self.0.write())
        }
    }
}

#[cfg(sessile_loom)]
mod lock {
    use loom::sync::{Mutex, MutexGuard, RwLock};

    use crate::sync::{Fence, fence};

    const POISON: &str = "a model that panics ends there";

    /// Loom's lock.
    pub struct Lock<T>(Mutex<T>);

    /// A lock that is held.
    pub type Guard<'a, T> = MutexGuard<'a, T>;

    impl<T> Lock<T> {
        /// A lock around this.
        pub fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        /// Waits for the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let guard = self.0.lock().expect(POISON);
            fence(Fence::Locked);
            guard
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let guard = self.0.try_lock().ok()?;
            fence(Fence::Locked);
            Some(guard)
        }

        pub(crate) fn unlock_fair(guard: MutexGuard<'_, T>) {
            drop(guard);
        }
    }

    pub(crate) struct Shared<T>(RwLock<T>);

    impl<T> Shared<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(RwLock::new(value))
        }

        pub(crate) fn read<R>(&self, with: impl FnOnce(&T) -> R) -> R {
            with(&self.0.read().expect(POISON))
        }

        pub(crate) fn write<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
            with(&mut self.0.write().expect(POISON))
        }
    }
}

pub(crate) use lock::Shared;
pub use lock::{Guard, Lock};
