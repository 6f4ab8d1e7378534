//! The only file that names a lock or an atomic type, with substitutes for loom under
//! `sessile_loom`.
//!
//! Loom models a cache's locks, but not its words: there are too many of them, so they stay
//! ordinary atomics. The lock-free reads are modelled on a small region of loom's own words.

pub(crate) use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use core::{ops::Deref, sync::atomic::Ordering};
use std::sync::Arc;

use memmap2::MmapMut;
use self_cell::MutBorrow;
use yoke::{Yoke, erased::ErasedArcCart};
use zerocopy::FromBytes;

/// A word that several threads may read and write.
pub trait Word: Sized + 'static {
    /// Allocates `len` zeroed words. `None` if the system does not provide the memory.
    fn zeroed(len: usize, pages: PageSize) -> Option<SharedSlice<Self>>;
    /// Loads the value.
    fn load(&self, order: Ordering) -> u64;
    /// Stores `value`.
    fn store(&self, value: u64, order: Ordering);
}

/// The page size that is requested for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// The system's default.
    Default,
    /// Huge pages, if the system has them and the memory is large enough.
    Huge,
}

impl Word for AtomicU64 {
    /// Maps anonymous memory, so that a bucket starts on a cache line.
    fn zeroed(len: usize, pages: PageSize) -> Option<SharedSlice<Self>> {
        let map = MmapMut::map_anon(len.checked_mul(size_of::<Self>())?).ok()?;
        if pages == PageSize::Huge {
            // Without huge pages the cache is slower and otherwise the same, so an error is
            // ignored.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        let words = Yoke::try_attach_to_cart(Arc::new(MutBorrow::new(map)), |map| {
            <[Self]>::mut_from_bytes(map.borrow_mut())
                .map(|words| &*words)
                .map_err(|_| ())
        });
        words.ok().map(|words| SharedSlice(words.erase_arc_cart()))
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

/// A slice of fixed length that clones share, and that can be split.
///
/// The slice borrows from mapped memory. The `Yoke` holds the mapping together with the borrow, so
/// each part keeps the mapping alive.
pub struct SharedSlice<T: 'static>(Yoke<&'static [T], ErasedArcCart>);

impl<T> SharedSlice<T> {
    /// Splits `len` elements off the front. `None` if there are fewer.
    pub(crate) fn split_to(&mut self, len: usize) -> Option<Self> {
        if len > self.len() {
            return None;
        }
        let front = self.0.map_project_cloned(|things, _| &things[..len]);
        self.0 = self.0.map_project_cloned(|things, _| &things[len..]);
        Some(Self(front))
    }

    /// Splits the slice into arrays of `N` and discards the remainder.
    pub(crate) fn chunks<const N: usize>(self) -> SharedSlice<[T; N]> {
        SharedSlice(self.0.map_project(|things, _| things.as_chunks().0))
    }
}

impl<T> Clone for SharedSlice<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for SharedSlice<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        self.0.get()
    }
}

/// The fences of the protocol in `shard::seqlock`, by what they separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFence {
    /// Between taking a shard's lock and writing its words. Release: a reader that sees one of
    /// these words also sees the sequences of earlier holders of the lock. It pairs with
    /// [`Read`](Self::Read).
    Locked,
    /// Between the store that makes a sequence odd and the stores that it covers. Release: a reader
    /// that sees one of these stores also sees the odd sequence. It pairs with
    /// [`Read`](Self::Read).
    Opened,
    /// Between reading words and loading their sequence again. Acquire.
    Read,
}

impl MemoryFence {
    fn order(self) -> Ordering {
        match self {
            Self::Locked | Self::Opened => Release,
            Self::Read => Acquire,
        }
    }
}

#[cfg(not(sessile_loom))]
#[inline(always)]
pub(crate) fn fence(which: MemoryFence) {
    core::sync::atomic::fence(which.order());
}

#[cfg(sessile_loom)]
pub(crate) use loom_word::fence;

#[cfg(sessile_loom)]
pub mod loom_word {
    //! Loom's words and fences, and the way to leave a fence out.

    use core::{cell::Cell, iter, sync::atomic::Ordering};
    use std::sync::Arc;

    use yoke::Yoke;

    use crate::sync::{MemoryFence, PageSize, SharedSlice, Word};

    /// A word of loom.
    pub struct LoomWord(loom::sync::atomic::AtomicU64);

    impl Word for LoomWord {
        fn zeroed(len: usize, _: PageSize) -> Option<SharedSlice<Self>> {
            let word = || Self(loom::sync::atomic::AtomicU64::new(0));
            let words: Vec<_> = iter::repeat_with(word).take(len).collect();
            let words = Yoke::attach_to_cart(Arc::new(words), |words| &**words);
            Some(SharedSlice(words.erase_arc_cart()))
        }

        fn load(&self, order: Ordering) -> u64 {
            self.0.load(order)
        }

        fn store(&self, value: u64, order: Ordering) {
            self.0.store(value, order);
        }
    }

    /// Omits a fence from everything that this operating system thread models from now on.
    pub fn drop_fence(which: Option<MemoryFence>) {
        DROPPED.set(which);
    }

    pub(crate) fn fence(which: MemoryFence) {
        if DROPPED.get() != Some(which) {
            loom::sync::atomic::fence(which.order());
        }
    }

    std::thread_local! {
        static DROPPED: Cell<Option<MemoryFence>> = const { Cell::new(None) };
    }
}

#[cfg(not(sessile_loom))]
mod lock {
    use parking_lot::{Mutex, MutexGuard, RwLock};

    use crate::sync::{MemoryFence, fence};

    /// parking_lot's mutex, without poisoning.
    pub struct Lock<T>(Mutex<T>);

    /// The guard of a held lock.
    pub type Guard<'a, T> = MutexGuard<'a, T>;

    impl<T> Lock<T> {
        /// Creates an unlocked lock.
        pub fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        /// Acquires the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let guard = self.0.lock();
            fence(MemoryFence::Locked);
            #[cfg(feature = "__internals")]
            count_lock();
            guard
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let guard = self.0.try_lock()?;
            fence(MemoryFence::Locked);
            #[cfg(feature = "__internals")]
            count_lock();
            Some(guard)
        }

        /// Releases the lock and hands it to the thread that has waited longest, if there is one.
        pub(crate) fn unlock_fair(guard: MutexGuard<'_, T>) {
            MutexGuard::unlock_fair(guard);
        }
    }

    #[cfg(feature = "__internals")]
    std::thread_local! {
        static LOCKS_TAKEN: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
    }

    #[cfg(feature = "__internals")]
    fn count_lock() {
        LOCKS_TAKEN.set(LOCKS_TAKEN.get() + 1);
    }

    /// Returns the number of shard locks that this thread has taken. For tests of bounds.
    #[cfg(feature = "__internals")]
    pub fn locks_taken() -> u64 {
        LOCKS_TAKEN.get()
    }

    /// A lock for many readers or one writer.
    pub(crate) struct ReadWriteLock<T>(RwLock<T>);

    impl<T> ReadWriteLock<T> {
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

    use crate::sync::{MemoryFence, fence};

    const POISON: &str = "a model ends when it panics";

    /// Loom's mutex.
    pub struct Lock<T>(Mutex<T>);

    /// The guard of a held lock.
    pub type Guard<'a, T> = MutexGuard<'a, T>;

    impl<T> Lock<T> {
        /// Creates an unlocked lock.
        pub fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        /// Acquires the lock.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let guard = self.0.lock().expect(POISON);
            fence(MemoryFence::Locked);
            guard
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let guard = self.0.try_lock().ok()?;
            fence(MemoryFence::Locked);
            Some(guard)
        }

        pub(crate) fn unlock_fair(guard: MutexGuard<'_, T>) {
            drop(guard);
        }
    }

    pub(crate) struct ReadWriteLock<T>(RwLock<T>);

    impl<T> ReadWriteLock<T> {
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

pub(crate) use lock::ReadWriteLock;
#[cfg(all(feature = "__internals", not(sessile_loom)))]
pub use lock::locks_taken;
pub use lock::{Guard, Lock};
