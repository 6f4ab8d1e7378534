//! Races between verbs, in every order that the locks allow. Run with
//! `RUSTFLAGS="--cfg sessile_loom" cargo test --test loom`.
//!
//! Each model lists its possible outcomes and must have seen all of them: a model that explores
//! only one order sees only one.

#![cfg(sessile_loom)]

mod end_all;
mod explore;
mod grace;
mod rotate;
mod seqlock;
mod sign_in;
