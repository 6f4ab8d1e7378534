//! The program against a server that sends empty responses.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Output},
};

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sessile-contract"));
    let Output { status, stdout, .. } =
        program.args(arguments).output().expect("it can be started");
    (
        status.code(),
        String::from_utf8(stdout).expect("it prints text"),
    )
}

/// Returns the address of a server without features and with empty bodies. It stops with the test.
fn nothing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback is there");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let _ = lines.take_while(|line| !line.is_empty()).count();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    format!("http://{address}/")
}

#[test]
fn it_names_what_failed_and_what_was_skipped_and_fails() {
    let (code, printed) = run(&[&nothing(), "tied_to_the_host", "increment", "one_sum"]);
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        lines[0].starts_with("FAIL  the_cookie_is_tied_to_the_host")
            && lines[0].ends_with(": the cookie is set")
    );
    assert_eq!(
        lines[1..],
        [
            "skip  two_writers_of_one_sum_lose_nothing: no feature increment",
            "0 passed, 1 failed, 1 skipped",
        ],
    );
}

#[test]
fn it_says_when_there_is_nobody_to_drive() {
    for arguments in [
        &[][..],
        &["--help"],
        &["127.0.0.1:1"],
        &["http://127.0.0.1:1"],
    ] {
        assert_eq!(run(arguments), (Some(2), String::new()), "{arguments:?}");
    }
}
