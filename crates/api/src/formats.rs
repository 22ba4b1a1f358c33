//! The formats of texts that Kubernetes knows. A format that is none of them says nothing.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::Regex;

use crate::validate::names;

/// Formats that are patterns.
struct Patterns {
    object_id: Regex,
    uuid: Regex,
    uuid3: Regex,
    uuid4: Regex,
    uuid5: Regex,
    host: Regex,
    card: Regex,
    ssn: Regex,
    hex_color: Regex,
    rgb_color: Regex,
    email: Regex,
    duration: Regex,
    mac: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let hex = |groups: &str| pattern(&format!("(?i)^{groups}$"));
    let uuid =
        |third: &str, fourth: &str| hex(&format!("[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{third}-?{fourth}-?[0-9a-f]{{12}}"));
    Patterns {
        object_id: hex("[0-9a-f]{24}"),
        uuid: uuid("[0-9a-f]{4}", "[0-9a-f]{4}"),
        uuid3: uuid("3[0-9a-f]{3}", "[0-9a-f]{4}"),
        uuid4: uuid("4[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
        uuid5: uuid("5[0-9a-f]{3}", "[89ab][0-9a-f]{3}"),
        host: pattern(r"^[a-zA-Z0-9\p{S}\p{L}]([a-zA-Z0-9\p{S}\p{L}-]{0,61}[a-zA-Z0-9\p{S}\p{L}])?$"),
        card: pattern(
            r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$",
        ),
        ssn: pattern(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$"),
        hex_color: hex("#?([0-9a-f]{3}|[0-9a-f]{6})"),
        rgb_color: pattern(r"^rgb\( *([0-9]{1,3}) *, *([0-9]{1,3}) *, *([0-9]{1,3}) *\)$"),
        email: pattern(r"^[^\s@<>()\[\]\\,;:]+@[^\s@<>()\[\]\\,;:]+$"),
        duration: pattern(
            r"^[+-]?(0|([0-9]+\.?[0-9]*|\.[0-9]+) *(ns|us|µs|μs|ms|s|m|h|d|w|nanosecond|microsecond|millisecond|second|minute|hour|day|week|nanoseconds|microseconds|milliseconds|seconds|minutes|hours|days|weeks)(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*)$",
        ),
        mac: pattern(
            r"^([0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){7}|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2,3})$",
        ),
    }
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of ours compiles")
}

/// Whether a text is of a format, whose name is without dashes.
pub(crate) fn fits(format: &str, text: &str) -> bool {
    let found = |pattern: fn(&Patterns) -> &Regex| pattern(&PATTERNS).is_match(text);
    match format {
        "bsonobjectid" => found(|patterns| &patterns.object_id),
        "uri" => is_uri(text),
        "email" => found(|patterns| &patterns.email),
        "hostname" => is_host(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => found(|patterns| &patterns.mac),
        "uuid" => found(|patterns| &patterns.uuid),
        "uuid3" => found(|patterns| &patterns.uuid3),
        "uuid4" => found(|patterns| &patterns.uuid4),
        "uuid5" => found(|patterns| &patterns.uuid5),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_card(text),
        "ssn" => found(|patterns| &patterns.ssn),
        "hexcolor" => found(|patterns| &patterns.hex_color),
        "rgbcolor" => is_rgb(text),
        "byte" => STANDARD.decode(text).is_ok(),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "datetime" => is_time(text),
        "duration" => found(|patterns| &patterns.duration),
        "k8sshortname" => names::dns_label(text).is_empty(),
        "k8slongname" => names::dns_subdomain(text).is_empty(),
        _ => true,
    }
}

/// A scheme or a path, without spaces: what a request may begin with.
fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|char: char| char.is_ascii_alphabetic())
            && scheme.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
    });
    (scheme || text.starts_with('/')) && !text.contains(|char: char| char.is_control() || char == ' ')
}

fn is_host(text: &str) -> bool {
    let labels = text.len() <= 255 && text.split('.').all(|label| PATTERNS.host.is_match(label));
    let last = text.rsplit_once('.').map(|(_, last)| last);
    labels && last.is_none_or(|last| last.chars().count() >= 2 && last.chars().all(char::is_alphabetic))
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, prefix)| {
        let longest = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        prefix.bytes().all(|byte| byte.is_ascii_digit()) && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
    })
}

/// RFC 3339, with a `T` or a space.
fn is_time(text: &str) -> bool {
    text.len() >= 20 && text.as_bytes()[4] == b'-' && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_rgb(text: &str) -> bool {
    let found = PATTERNS.rgb_color.captures(text);
    found.is_some_and(|found| found.iter().skip(1).flatten().all(|part| part.as_str().parse::<u8>().is_ok()))
}

/// The digits of a number, without what people put between them.
fn digits(text: &str) -> Vec<u32> {
    let plain = |char: &char| !matches!(char, '-' | ' ');
    text.chars().filter(plain).map(|char| char.to_digit(10).unwrap_or(if char == 'X' { 10 } else { 99 })).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = digits(text);
    let sum: u32 = digits.iter().zip(1..).map(|(digit, weight)| digit * weight).sum();
    digits.len() == 10 && digits.iter().take(9).all(|digit| *digit < 10) && digits[9] <= 10 && sum.is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = digits(text);
    let sum: u32 = digits.iter().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
    digits.len() == 13 && digits.iter().all(|digit| *digit < 10) && sum.is_multiple_of(10)
}

/// A number of one of the card companies whose digits add up.
fn is_card(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    let sum: u32 = digits(&plain)
        .iter()
        .rev()
        .zip([false, true].into_iter().cycle())
        .map(|(digit, double)| if double { digit * 2 / 10 + digit * 2 % 10 } else { *digit })
        .sum();
    PATTERNS.card.is_match(&plain) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn each_format_takes_what_is_of_it_and_nothing_else() {
        let cases: [(&str, &[&str], &[&str]); 25] = [
            ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f1f77bcf86cd79943901", "x"]),
            ("uri", &["https://a.b/c?d", "/a/b", "urn:x"], &["", "a b", "no scheme"]),
            ("email", &["a@b.c"], &["a", "a@", "a b@c", "@"]),
            ("hostname", &["a", "a.example", "a-b.example"], &["", "-a", "a..b", "a_b", "a.1"]),
            ("ipv4", &["10.0.0.1"], &["10.0.0", "::1", "10.0.0.256"]),
            ("ipv6", &["::1", "fe80::1"], &["10.0.0.1", ":"]),
            ("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8"]),
            ("mac", &["00:00:5e:00:53:01", "0000.5e00.5301"], &["00:00:5e", "00:00:5e:00:53:0g"]),
            ("uuid", &["a8098c1a-f86e-11da-bd1a-00112444be1e"], &["a8098c1a"]),
            ("uuid3", &["bcd02e22-68f0-3046-a512-327cca9def8f"], &["025b0d74-00a2-4048-bf57-227c5111bb34"]),
            ("uuid4", &["025b0d74-00a2-4048-bf57-227c5111bb34"], &["bcd02e22-68f0-3046-a512-327cca9def8f"]),
            ("uuid5", &["886313e1-3b8a-5372-9b90-0c9aee199e5d"], &["025b0d74-00a2-4048-bf57-227c5111bb34"]),
            ("isbn", &["0321751043", "978-0321751041"], &["0321751042"]),
            ("isbn10", &["0321751043"], &["978-0321751041"]),
            ("isbn13", &["978-0321751041"], &["0321751043", "978-0321751042"]),
            ("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112", "1"]),
            ("ssn", &["111-11-1111"], &["111-11"]),
            ("hexcolor", &["#FFFFFF", "fff"], &["#ff", "red"]),
            ("rgbcolor", &["rgb(1, 2,255)"], &["rgb(1,2,256)", "rgb(1,2)"]),
            ("byte", &["", "aGk="], &["a", "*"]),
            ("date", &["2006-01-02"], &["2006-13-02", "2006-1-2", "2006-01-02T00:00:00Z"]),
            ("datetime", &["2014-12-15T19:30:20.000Z", "2014-12-15T19:30:20+01:00"], &["2014-12-15", "now"]),
            ("duration", &["22 ns", "1h30m", "0", "1.5s", "3 days"], &["1", "h", "1x", ""]),
            ("k8sshortname", &["a-1"], &["A", "-a", "a.b"]),
            ("k8slongname", &["a.b-c"], &["A", "a..b"]),
        ];
        for (format, good, bad) in cases {
            good.iter().for_each(|text| assert!(fits(format, text), "{format}: {text}"));
            bad.iter().for_each(|text| assert!(!fits(format, text), "{format}: {text}"));
        }
        assert!(fits("anything-else", "x"), "a format that nobody knows says nothing");
    }
}
