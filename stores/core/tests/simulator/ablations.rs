//! The rules of the protocol are needed: without one of them the simulator finds a violation.
