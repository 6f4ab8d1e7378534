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

use memmap2::MmapMut;
use self_cell::MutBorrow;
use yoke::{Yoke, erased::ErasedArcCart};
use zerocopy::FromBytes;

/// A word that several threads may read and write.
pub trait Word: Sized + 'static {
    /// So many words, all zero. `None` if there is no such memory.
    fn zeroed(len: usize, pages: PageSize) -> Option<SharedSlice<Self>>;
    /// What it says.
    fn load(&self, order: Ordering) -> u64;
    /// Has it say this.
    fn store(&self, value: u64, order: Ordering);
}

/// Which pages memory is asked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// The system's usual ones.
    Default,
    /// Huge ones, where the system has them and the memory is large enough.
    Huge,
}

impl Word for AtomicU64 {
    /// Of the system's own, so that a line starts on a cache line.
    fn zeroed(len: usize, pages: PageSize) -> Option<SharedSlice<Self>> {
        let map = MmapMut::map_anon(len.checked_mul(size_of::<Self>())?).ok()?;
        if pages == PageSize::Huge {
            // A system that cannot is slower, and all the same.
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

/// A fixed number of things, which clones share, and pieces of it.
///
/// Memory that is mapped is lent as atomics for as long as it is borrowed, so whoever holds a piece holds the
/// mapping too; a `Yoke` is the two of them in one.
pub struct SharedSlice<T: 'static>(Yoke<&'static [T], ErasedArcCart>);

impl<T> SharedSlice<T> {
    /// Takes so many off the front. `None` if there are not so many.
    pub(crate) fn split_to(&mut self, len: usize) -> Option<Self> {
        if len > self.len() {
            return None;
        }
        let front = self.0.map_project_cloned(|things, _| &things[..len]);
        self.0 = self.0.map_project_cloned(|things, _| &things[len..]);
        Some(Self(front))
    }

    /// The same in arrays of `N`; what is left at the end of it is nobody's.
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

/// The fences of the protocol in `shard::version`, by what they come after or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFence {
    /// After a shard's lock was taken, before its words are written. Release.
    Locked,
    /// After a version was made odd, before what it covers is written. Release.
    Opened,
    /// After words were read, before their version is read again. Acquire.
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

    /// Loom's word.
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

    /// Leaves a fence out of what this thread of the operating system models from now on.
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

        /// Lets go of the lock and hands it to the one that waits longest, if any does.
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

    /// Returns how many locks of shards this thread has taken. For tests of bounds.
    #[cfg(feature = "__internals")]
    pub fn locks_taken() -> u64 {
        LOCKS_TAKEN.get()
    }

    /// Many readers or one writer.
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
