//! Which process this is: counts the forks between the one that loaded the module and this one.
//!
//! After a fork nothing of a cache may be used: a thread that is gone may have held one of its locks. Whoever
//! keeps a cache keeps the generation beside it and compares.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pyo3::{prelude::*, types::PyDict};

/// How many forks lie behind this process.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Relaxed)
}

/// Has the interpreter count forks in each child. It calls that before anything else of ours runs there, in the
/// only thread there is, so the load orders nothing.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let hooks = PyDict::new(py);
    hooks.set_item("after_in_child", wrap_pyfunction!(forked, module)?)?;
    py.import("os")?.getattr("register_at_fork")?.call((), Some(&hooks))?;
    Ok(())
}

#[pyfunction]
fn forked() {
    GENERATION.fetch_add(1, Relaxed);
}

static GENERATION: AtomicU32 = AtomicU32::new(0);
