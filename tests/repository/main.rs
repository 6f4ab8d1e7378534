//! Checks of the repository as a whole: its prose, the links of its Markdown files, and the
//! contents of its packages.

#![allow(clippy::unwrap_used)]

mod files;
mod links;
mod packages;
mod prose;
