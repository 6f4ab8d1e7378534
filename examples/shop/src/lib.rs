//! A demo shop whose carts and sign-ins are stored in a [`sessile`] cache.
//!
//! Run `cargo run --release -p shop` and open the address that it prints. `/stats` is a live page
//! about the engine, with a load generator; `/metrics` is for Prometheus. `--help` lists the
//! options.
//!
//! The modules `routes` (the handlers) and `visitor` (the session's data) are the place to start
//! reading. `server` builds the cache and the session layer.

mod cart;
mod catalogue;
mod device;
mod form;
mod format;
mod headers;
mod options;
mod pages;
mod robots;
mod routes;
mod server;
mod stats;
mod visitor;

use std::{ffi::OsString, fmt::Display, io::Write, process::ExitCode};

use options::{HELP, Request};
use server::StartError;

/// Runs the shop with the command-line arguments after the program's name, until it is stopped.
///
/// The exit code is 0 after a stop and after `--help`, 2 for an invalid setting, and 1 if the shop
/// cannot start.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match options::parse(arguments) {
        Ok(Request::Serve(options)) => options,
        Ok(Request::Help) => {
            say(HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return fail(2, wrong),
    };
    match server::serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError::Setting(wrong)) => fail(2, wrong),
        Err(StartError::System(wrong)) => fail(1, wrong),
    }
}

/// Prints a line. A closed standard output does not stop the shop.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn fail(code: u8, wrong: impl Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "shop: {wrong}");
    ExitCode::from(code)
}
