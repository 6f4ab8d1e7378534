//! The program `shop`: see the library of the same name.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    shop::run(env::args_os().skip(1))
}
