//! A small shop whose carts and sign-ins live in a [`sessile`] cache.
//!
//! `cargo run --release -p shop`, then open the address that it prints. To read on, begin with
//! `routes` (which address does what) and `visitor` (what is kept in a session).

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
use server::Trouble;

/// Runs the shop with the arguments that follow the program's name, until it is told to stop.
///
/// The exit code is 0 after a stop and after `--help`, 2 where a setting cannot be, and 1 where the
/// shop could not be opened.
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
        Err(Trouble::Setting(wrong)) => fail(2, wrong),
        Err(Trouble::Opening(wrong)) => fail(1, wrong),
    }
}

/// A line for the person at the terminal; one who has gone away does not stop the shop.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn fail(code: u8, wrong: impl Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "shop: {wrong}");
    ExitCode::from(code)
}
