//! The failure rig: nodes with a tiered cache over real servers that are slow, cut off, killed and
//! emptied. Each test is named by the promise that it shows. Only this rig waits for real time, and
//! each wait has a deadline.

// The longest times, and the words of the process that a test stops.
#![allow(clippy::print_stdout)]

mod data_loss;
mod failover;
mod fills;
mod histories;
mod logout;
mod outages;
mod refusals;
mod revocations;
mod secrets;
mod shutdown;
mod support;
