//! The identity of this process: the number of forks since the module was loaded.
//!
//! After a fork the child must neither use nor drop the parent's caches: a thread that does not
//! exist in the child may have held one of their locks. [`OfProcess`] wraps a value that belongs to
//! the process that created it.
//!
//! The child's interpreter frees the objects of the parent's other threads before it runs the hooks
//! of modules, so a hook in the child alone would run too late. A hook in the parent therefore
//! marks that a fork is in progress, and during a fork the child is recognised by its process id.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::process;

use pyo3::{prelude::*, types::PyDict};

/// A value that a forked child neither uses nor drops.
pub(crate) struct OfProcess<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            generation: generation(),
            value: Some(value),
        }
    }

    /// Returns the value, or `None` in a child.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.is_own())
    }

    /// Returns the value, or `None` in a child.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        let is_own = self.is_own();
        self.value.as_mut().filter(|_| is_own)
    }

    fn is_own(&self) -> bool {
        self.generation == generation()
    }
}

/// A child leaks its copy, whose memory it shares with the parent (copy-on-write).
impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if !self.is_own() {
            core::mem::forget(self.value.take());
        }
    }
}

/// Returns the number of forks between the process that loaded the module and this one.
pub(crate) fn generation() -> u32 {
    let forks = FORKS.load(Relaxed);
    if forks < IN_PROGRESS {
        forks as u32
    } else {
        generation_during_fork(forks)
    }
}

#[cold]
fn generation_during_fork(forks: u64) -> u32 {
    let is_child = process::id() != PROCESS.load(Relaxed);
    (forks as u32).wrapping_add(u32::from(is_child))
}

/// Registers the hooks. They run in threads that hold the interpreter lock, and in the child in its
/// only thread, so the atomics need no ordering.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    PROCESS.store(process::id(), Relaxed);
    let py = module.py();
    let hooks = PyDict::new(py);
    hooks.set_item("before", wrap_pyfunction!(before_fork, module)?)?;
    hooks.set_item(
        "after_in_parent",
        wrap_pyfunction!(after_fork_in_parent, module)?,
    )?;
    hooks.set_item(
        "after_in_child",
        wrap_pyfunction!(after_fork_in_child, module)?,
    )?;
    py.import("os")?
        .getattr("register_at_fork")?
        .call((), Some(&hooks))?;
    Ok(())
}

#[pyfunction]
fn before_fork() {
    FORKS.fetch_add(IN_PROGRESS, Relaxed);
}

/// Also runs if the fork failed.
#[pyfunction]
fn after_fork_in_parent() {
    FORKS.fetch_sub(IN_PROGRESS, Relaxed);
}

#[pyfunction]
fn after_fork_in_child() {
    let generation = (FORKS.load(Relaxed) as u32).wrapping_add(1);
    FORKS.store(generation.into(), Relaxed);
    PROCESS.store(process::id(), Relaxed);
}

/// The generation in the lower half, the number of forks in progress in the upper.
static FORKS: AtomicU64 = AtomicU64::new(0);

const IN_PROGRESS: u64 = 1 << 32;

/// The id of this process, or of its parent until the hook in the child has run.
static PROCESS: AtomicU32 = AtomicU32::new(0);
