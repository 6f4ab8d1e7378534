//! The L1 of a tiered cache: what it answers itself, what it leaves to the store, and what enters
//! and leaves it.

mod install;
mod invalidate;
mod keys;
mod look_up;
mod model;
mod options;
mod settings;
mod times;
