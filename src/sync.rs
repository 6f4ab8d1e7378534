//! The only file that names a lock or an atomic type, with its twin for loom under `sessile_loom`.
//!
//! The words of a region are plain relaxed loads and stores under a shard's lock, which orders them;
//! loom therefore models the locks and leaves the words to the machine.

pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

#[cfg(not(sessile_loom))]
mod lock {
    use parking_lot::{Mutex, MutexGuard, RwLock};

    /// A lock that says nothing about who holds it: parking_lot's, without poisoning.
    pub(crate) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock()
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

    const POISON: &str = "a model that panics ends there";

    pub(crate) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect(POISON)
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

pub(crate) use lock::{Lock, Shared};
