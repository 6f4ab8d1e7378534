//! `sessile-contract BASE_URL [WORD…]`: runs the contract against an application, or only the cases
//! whose names contain one of the words. Prints one line per case. Exits with failure if a case
//! fails.

use std::{env, process::ExitCode};

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(base_url) = arguments.next().filter(|first| !first.starts_with('-')) else {
        eprintln!("sessile-contract BASE_URL [WORD…], such as http://127.0.0.1:8000");
        return ExitCode::from(2);
    };
    match sessile_contract::run(&base_url, &arguments.collect::<Vec<_>>()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::from(u8::from(!report.is_good()))
        }
        Err(error) => {
            eprintln!("{base_url}: {error}");
            ExitCode::from(2)
        }
    }
}
