//! A client of a few commands, with which tests look at the server and disturb it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

pub struct Client(BufReader<TcpStream>);

impl Client {
    pub fn connect(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the server is reachable");
        let limit = Some(Duration::from_secs(20));
        socket.set_read_timeout(limit).expect("a socket");
        Self(BufReader::new(socket))
    }

    /// Sends a command and returns the first line of the reply.
    pub fn line(&mut self, command: &str) -> String {
        self.send(command.as_bytes());
        self.read_line()
    }

    /// Stores a value without an end.
    pub fn set(&mut self, key: &str, value: &[u8]) {
        let head = format!("ms {key} {} T0", value.len());
        self.send(&[head.as_bytes(), b"\r\n", value].concat());
        assert_eq!(self.read_line(), "HD");
    }

    pub fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        let line = self.line(&format!("mg {key} v"));
        let len = line.strip_prefix("VA ")?.parse().expect("a length");
        let mut value = vec![0; len];
        self.0.read_exact(&mut value).expect("a value");
        assert_eq!(self.read_line(), "");
        Some(value)
    }

    pub fn delete(&mut self, key: &str) -> bool {
        self.line(&format!("md {key}")) == "HD"
    }

    /// Returns the number that `stats` has under a name.
    pub fn stat(&mut self, name: &str) -> u64 {
        self.send(b"stats");
        let mut found = None;
        loop {
            let line = self.read_line();
            if line == "END" {
                return found.unwrap_or_else(|| panic!("no {name}"));
            }
            let mut words = line.split(' ').skip(1);
            if words.next() == Some(name) {
                found = words.next().and_then(|number| number.parse().ok());
            }
        }
    }

    fn send(&mut self, command: &[u8]) {
        let bytes = [command, b"\r\n"].concat();
        self.0.get_mut().write_all(&bytes).expect("it is sent");
    }

    fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }
}
