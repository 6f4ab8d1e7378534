//! Requests for one id at the same time.
