//! Flags as upstream's programs take them: `--name=value`, `--name value`, `-n value`, and switches without a value.

use std::collections::HashMap;
use std::str::FromStr;

use crate::give_up;

/// Flags that stand alone, so that what follows them is not theirs.
const SWITCHES: [&str; 8] =
    ["tcp", "udp", "http", "close", "json-response", "alsologtostderr", "logtostderr", "break_on_expected_content"];

/// What stands behind the name of a command.
#[derive(Debug, Default)]
pub struct Flags {
    named: HashMap<String, String>,
    pub others: Vec<String>,
}

impl Flags {
    pub fn parse(words: impl IntoIterator<Item = String>) -> Self {
        let mut flags = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                flags.others.push(word);
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None if SWITCHES.contains(&flag) => (flag.to_owned(), "true".to_owned()),
                None => (flag.to_owned(), words.next().unwrap_or_default()),
            };
            flags.named.insert(name, value);
        }
        flags
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.named.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn is_on(&self, name: &str, otherwise: bool) -> bool {
        self.value(name).unwrap_or(otherwise)
    }

    /// A value that is a number or the like. What is none ends the program.
    pub fn value<T: FromStr>(&self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        Some(text.parse().unwrap_or_else(|_| give_up(format!("invalid argument {text:?} for --{name}"))))
    }

    pub fn port(&self, name: &str, otherwise: u16) -> u16 {
        self.value(name).unwrap_or(otherwise)
    }
}

/// A length of time as Go writes it: `1.5s`, `200ms`, `1m30s`.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let each = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            "" if number == "0" => 0.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * each;
        rest = behind;
    }
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Flags, duration};

    #[test]
    fn flags_have_values_and_switches_have_none() {
        let words = ["--port=80", "--http-port", "8080", "-t", "5", "--tcp", "host:1", "--udp=false"];
        let flags = Flags::parse(words.map(str::to_owned));
        assert_eq!((flags.port("port", 1), flags.port("http-port", 1), flags.port("other", 1)), (80, 8080, 1));
        assert_eq!((flags.value("t"), flags.others.as_slice()), (Some(5), ["host:1".to_owned()].as_slice()));
        assert!(flags.is_on("tcp", false) && !flags.is_on("udp", true) && flags.is_on("http", true));
    }

    #[test]
    fn durations_are_those_of_go() {
        let of = |text: &str| duration(text).map(|length| length.as_millis());
        assert_eq!((of("1.5s"), of("200ms"), of("1m30s"), of("0")), (Some(1500), Some(200), Some(90_000), Some(0)));
        assert_eq!(duration(""), Some(Duration::ZERO));
        assert_eq!((of("5"), of("x"), of("1y")), (None, None, None));
    }
}
