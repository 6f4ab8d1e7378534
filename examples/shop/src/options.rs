//! The command line: five options and the help. `lexopt` splits it; this module validates the
//! values.
//!
//! It does not know the minimum memory, nor a valid address of a store: others check these.

use std::{ffi::OsString, time::Duration};

use lexopt::{Arg, Error, Parser};

/// The options of the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The port; 0 means any free one.
    pub(crate) port: u16,
    /// The memory of the cache, in bytes.
    pub(crate) memory: usize,
    pub(crate) idle: Duration,
    /// The number of robots that the button on `/stats` releases.
    pub(crate) robots: u64,
    /// The address of a store that several shops share.
    pub(crate) store: Option<String>,
}

/// The result of parsing the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Serve(Options),
    Help,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 3000,
            memory: 64 << 20,
            idle: Duration::from_secs(30 * 60),
            robots: 1_000_000,
            store: None,
        }
    }
}

/// Parses the arguments after the program's name. An error names the option, its value and the
/// valid values.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Error> {
    let mut options = Options::default();
    let mut parser = Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("port") => options.port = PORT.parse(&mut parser, port)?,
            Arg::Long("memory") => options.memory = MEMORY.parse(&mut parser, bytes)?,
            Arg::Long("idle") => options.idle = IDLE.parse(&mut parser, span)?,
            Arg::Long("robots") => options.robots = ROBOTS.parse(&mut parser, robot_count)?,
            Arg::Long("store") => options.store = Some(STORE.parse(&mut parser, address)?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Request::Help),
            _ => return Err(unknown(argument)),
        }
    }
    Ok(Request::Serve(options))
}

/// Returns the error for an unknown option. Unlike the one of `lexopt`, it mentions `--help`.
fn unknown(argument: Arg<'_>) -> Error {
    let given = match argument {
        Arg::Short(letter) => format!("-{letter}"),
        Arg::Long(name) => format!("--{name}"),
        Arg::Value(text) => text.to_string_lossy().into_owned(),
    };
    format!("{given:?} is not an option; see --help").into()
}

/// The name of an option and its valid values.
struct OptionRule {
    option: &'static str,
    must: &'static str,
}

impl OptionRule {
    fn parse<T>(&self, parser: &mut Parser, read: fn(&str) -> Option<T>) -> Result<T, Error> {
        let Self { option, must } = self;
        let value = parser.value();
        let value = value.map_err(|_| format!("{option} must be {must}, got no value"))?;
        let value = value.to_string_lossy();
        read(&value).ok_or_else(|| format!("{option} must be {must}, got {value:?}").into())
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok()
}

/// Parses an integer with an optional unit, a power of 1024: `64MiB`, `256M`, `1 GiB`, `67108864`.
fn bytes(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return None,
    };
    usize::try_from(number.checked_mul(1 << shift)?).ok()
}

/// Parses an integer with a unit: `90s`, `30m`, `2h`. The maximum is the lifetime of a sign-in that
/// is not remembered.
fn span(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 60 * 60,
        _ => return None,
    };
    let span = number.checked_mul(seconds).map(Duration::from_secs);
    span.filter(|span| (MIN_IDLE..=LIFETIME).contains(span))
}

fn robot_count(text: &str) -> Option<u64> {
    text.parse()
        .ok()
        .filter(|crowd| (1..=MAX_ROBOTS).contains(crowd))
}

fn address(text: &str) -> Option<String> {
    text.contains("://").then(|| text.to_owned())
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

const PORT: OptionRule = OptionRule {
    option: "--port",
    must: "a number from 0 to 65535, where 0 means any free port",
};
const MEMORY: OptionRule = OptionRule {
    option: "--memory",
    must: "a whole number of bytes, or one with a unit, such as 64MiB, 256M or 1G",
};
const IDLE: OptionRule = OptionRule {
    option: "--idle",
    must: "a whole number with a unit, such as 90s, 30m or 2h, from 2s to 12h",
};

const ROBOTS: OptionRule = OptionRule {
    option: "--robots",
    must: "a number from 1 to 1000000000",
};

const STORE: OptionRule = OptionRule {
    option: "--store",
    must: "the address of a Redis, Valkey or memcached server, such as redis://127.0.0.1",
};

const MAX_ROBOTS: u64 = 1_000_000_000;

const MIN_IDLE: Duration = Duration::from_secs(2);

/// The lifetime of a session that is not remembered.
pub(crate) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The output of `--help`.
pub(crate) const HELP: &str = "\
A demo shop whose carts and sign-ins are stored in a cache of a fixed size.

Usage: shop [--port NUMBER] [--memory SIZE] [--idle SPAN] [--robots NUMBER] [--store URL]

Options, with their defaults in parentheses:
  --port NUMBER    port on 127.0.0.1, 0 for any free one (3000)
  --memory SIZE    memory of the cache, such as 64MiB, 256M or a number of bytes (64MiB)
  --idle SPAN      idle timeout of a session, such as 90s, 30m or 2h (30m)
  --robots NUMBER  number of robots that the button on /stats releases (1000000)
  --store URL      keep sessions in a Redis, Valkey or memcached server, shared with other shops
  --help           print this text

The environment variable SESSILE_KEYS contains the keys that sign cookies, separated by
commas, the newest first. Each key is 32 bytes or more, in base64. Without it, a key is
generated, and sign-ins do not survive a restart. Shops with one store need the same keys.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn served(line: &str) -> Options {
        match parsed(line) {
            Ok(Request::Serve(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn an_empty_line_takes_the_defaults() {
        assert_eq!(served(""), Options::default());
    }

    #[test]
    fn values_come_with_a_space_or_an_equals_sign() {
        let wanted = Options {
            port: 0,
            memory: 256 << 20,
            idle: Duration::from_secs(90),
            robots: 7,
            store: None,
        };
        assert_eq!(
            served("--port 0 --memory 256M --idle 90s --robots 7"),
            wanted
        );
        assert_eq!(
            served("--port=0 --memory=262144KiB --idle=90s --robots=7"),
            wanted
        );
        assert_eq!(
            served("--port 1 --port 0 --memory 268435456 --idle 90s --robots 7"),
            wanted
        );
    }

    #[test]
    fn help_wins() {
        assert_eq!(parsed("--port 1 --help").ok(), Some(Request::Help));
        assert_eq!(parsed("-h").ok(), Some(Request::Help));
    }

    #[test]
    fn an_invalid_value_is_an_error_with_the_value_and_the_rule() {
        for (line, option, was) in [
            ("--port 65536", "--port", "65536"),
            ("--port -1", "--port", "-1"),
            ("--memory 64MB", "--memory", "64MB"),
            ("--memory lots", "--memory", "lots"),
            (
                "--memory 99999999999999999G",
                "--memory",
                "99999999999999999G",
            ),
            ("--idle 30", "--idle", "30"),
            ("--idle 1.5h", "--idle", "1.5h"),
            ("--idle= ", "--idle", ""),
            ("--idle 1s", "--idle", "1s"),
            ("--idle 721m", "--idle", "721m"),
            ("--robots 0", "--robots", "0"),
            ("--robots a-million", "--robots", "a-million"),
            ("--store localhost", "--store", "localhost"),
        ] {
            let text = parsed(line).expect_err(line).to_string();
            assert!(
                text.starts_with(&format!("{option} must be "))
                    && text.ends_with(&format!("got {was:?}")),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_option_and_a_missing_value_are_named() {
        let text = parsed("--prot 1").expect_err("no such option").to_string();
        assert!(text.starts_with("\"--prot\" is not an option"), "{text}");
        let text = parsed("8080").expect_err("no such option").to_string();
        assert!(text.starts_with("\"8080\" is not an option"), "{text}");
        let text = parsed("-p").expect_err("no such option").to_string();
        assert!(text.starts_with("\"-p\" is not an option"), "{text}");
        let text = parsed("--memory").expect_err("no value").to_string();
        assert!(
            text.starts_with("--memory must be a whole") && text.ends_with("got no value"),
            "{text}"
        );
    }
}
