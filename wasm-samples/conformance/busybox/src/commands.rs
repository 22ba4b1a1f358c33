//! The commands, each of which ends with a code.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::shell::Output;

const UNKNOWN: i32 = 127;

/// Runs a command by its name.
pub fn run(name: &str, words: &[String], output: &mut Output) -> i32 {
    let name = name.rsplit('/').next().unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match (name, words.as_slice()) {
        ("true" | ":", _) => Ok(true),
        ("false", _) => Ok(false),
        ("echo", words) => echo(words, output),
        ("env" | "printenv", []) => environment(output),
        ("hostname", []) => writeln!(output, "{}", std::env::var("HOSTNAME").unwrap_or_default()).map(|()| true),
        ("cat", words) => each(words, |path| output.write_all(&fs::read(path)?)),
        ("touch", words) => each(words, |path| fs::OpenOptions::new().create(true).append(true).open(path).map(drop)),
        ("mkdir", words) => each(words, |path| fs::create_dir_all(path)),
        ("rm", words) => each(words, remove),
        ("ls", words) => each(if words.is_empty() { &["/"] } else { words }, |path| list(path, output)),
        ("test", words) => Ok(test(words)),
        ("[", [words @ .., "]"]) | ("[[", [words @ .., "]]"]) => Ok(test(words)),
        ("sleep", words) => sleep(words),
        ("tail", ["-f", ..]) => sleep(&["infinity"]),
        _ => {
            eprintln!("sh: {name}: not found");
            return UNKNOWN;
        }
    };
    match ended {
        Ok(is_true) => i32::from(!is_true),
        Err(error) => {
            eprintln!("{name}: {error}");
            1
        }
    }
}

type Ended = std::io::Result<bool>;

fn echo(words: &[&str], output: &mut Output) -> Ended {
    let (words, end) = match words {
        ["-n", words @ ..] => (words, ""),
        ["-e", words @ ..] => (words, "\n"),
        words => (words, "\n"),
    };
    write!(output, "{}{end}", words.join(" "))?;
    Ok(true)
}

fn environment(output: &mut Output) -> Ended {
    for (name, value) in std::env::vars() {
        writeln!(output, "{name}={value}")?;
    }
    Ok(true)
}

/// Does something with each path; flags are passed over.
fn each(words: &[&str], mut with: impl FnMut(&str) -> std::io::Result<()>) -> Ended {
    let mut is_well = true;
    for path in words.iter().filter(|word| !word.starts_with('-')) {
        if let Err(error) = with(path) {
            eprintln!("{path}: {error}");
            is_well = false;
        }
    }
    Ok(is_well)
}

fn remove(path: &str) -> std::io::Result<()> {
    if Path::new(path).is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

fn list(path: &str, output: &mut Output) -> std::io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    names.iter().try_for_each(|name| writeln!(output, "{name}"))
}

fn test(words: &[&str]) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    match words {
        ["!", words @ ..] => !test(words),
        ["-e", path] => Path::new(path).exists(),
        ["-f", path] => Path::new(path).is_file(),
        ["-d", path] => Path::new(path).is_dir(),
        ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        ["-z"] => true,
        [text] => !text.is_empty(),
        [left, "=" | "==", right] => left == right,
        [left, "!=", right] => left != right,
        [left, "-eq", right] => number(left).is_some() && number(left) == number(right),
        [left, "-ne", right] => number(left) != number(right),
        _ => false,
    }
}

fn sleep(words: &[&str]) -> Ended {
    match words {
        ["infinity" | "inf", ..] => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        [seconds, ..] => {
            let (number, unit) =
                seconds.split_at(seconds.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(seconds.len()));
            let each = match unit {
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => 1.0,
            };
            let Ok(number) = number.parse::<f64>() else { return Err(std::io::Error::other("invalid number")) };
            std::thread::sleep(Duration::try_from_secs_f64(number * each).unwrap_or(Duration::MAX));
            Ok(true)
        }
        [] => Err(std::io::Error::other("missing operand")),
    }
}
