//! Runs the commands of a line.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};

use crate::commands;
use crate::parse::{Command, Piece, Step, Token, When, steps, tokens};

/// What a shell ends with that does not understand a line, and one that does not know a command.
const NOT_UNDERSTOOD: i32 = 2;

#[derive(Default)]
pub struct Shell {
    variables: BTreeMap<String, String>,
    last: i32,
    ended: bool,
}

/// Where a command writes.
#[derive(Default)]
pub enum Output {
    #[default]
    Standard,
    Errors,
    File(std::fs::File),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard => io::stdout().write(bytes),
            Self::Errors => io::stderr().write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard => io::stdout().flush(),
            Self::Errors => io::stderr().flush(),
            Self::File(file) => file.flush(),
        }
    }
}

impl Shell {
    /// A shell with parameters, the first of which is its name.
    pub fn new(parameters: &[String]) -> Self {
        let numbered = parameters.iter().enumerate().map(|(number, value)| (number.to_string(), value.clone()));
        Self { variables: numbered.collect(), ..Self::default() }
    }

    /// The code with which a line ends.
    pub fn run(mut self, line: &str) -> i32 {
        match tokens(line).and_then(steps) {
            Ok(steps) => self.steps(&steps),
            Err(why) => {
                eprintln!("sh: {why}");
                self.last = NOT_UNDERSTOOD;
            }
        }
        self.last
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            let is_due = match step.when {
                When::Always => true,
                When::Succeeded => self.last == 0,
                When::Failed => self.last != 0,
            };
            if is_due && !self.ended {
                self.command(&step.command);
            }
        }
    }

    fn is_true(&mut self, condition: &[Step]) -> bool {
        self.steps(condition);
        self.last == 0 && !self.ended
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Simple(tokens) => {
                self.last = self.simple(tokens).unwrap_or_else(|why| {
                    eprintln!("sh: {why}");
                    1
                });
            }
            Command::If { condition, then, otherwise } => {
                let branch = if self.is_true(condition) { then } else { otherwise };
                self.last = 0;
                self.steps(branch);
            }
            Command::While { condition, body } => {
                while self.is_true(condition) {
                    self.steps(body);
                }
            }
        }
    }

    fn simple(&mut self, tokens: &[Token]) -> Result<i32, String> {
        let mut words = Vec::new();
        let mut output = Output::default();
        let mut tokens = tokens.iter();
        while let Some(token) = tokens.next() {
            match token {
                Token::Word(pieces) => self.word(pieces, &mut words)?,
                Token::Sign(">&2") => output = Output::Errors,
                Token::Sign(sign) => {
                    let Some(Token::Word(pieces)) = tokens.next() else { return Err("no file is named".to_owned()) };
                    output = Output::File(open(&self.text(pieces)?, *sign == ">>")?);
                }
                Token::ErrorsTo(_) => {}
            }
        }
        self.assign(&mut words);
        let Some((name, words)) = words.split_first() else { return Ok(0) };
        if matches!(name.as_str(), "exit" | "exec") {
            self.ended = true;
        }
        match (name.as_str(), words) {
            ("exit", words) => Ok(words.first().and_then(|code| code.parse().ok()).unwrap_or(self.last)),
            ("exec", [name, words @ ..]) => Ok(commands::run(name, words, &mut output)),
            _ => Ok(commands::run(name, words, &mut output)),
        }
    }

    /// A word; what consists of variables that are empty is none.
    fn word(&self, pieces: &[Piece], words: &mut Vec<String>) -> Result<(), String> {
        let text = self.text(pieces)?;
        let is_variable = pieces.iter().any(|piece| matches!(piece, Piece::Variable { .. }));
        if !(text.is_empty() && is_variable) {
            words.push(text);
        }
        Ok(())
    }

    fn text(&self, pieces: &[Piece]) -> Result<String, String> {
        pieces.iter().try_fold(String::new(), |text, piece| match piece {
            Piece::Text(more) => Ok(text + more),
            Piece::Variable { name, is_required } => match self.variable(name) {
                value if value.is_empty() && *is_required => Err(format!("{name}: parameter not set or null")),
                value => Ok(text + &value),
            },
        })
    }

    fn variable(&self, name: &str) -> String {
        if name == "?" {
            return self.last.to_string();
        }
        self.variables.get(name).cloned().or_else(|| std::env::var(name).ok()).unwrap_or_default()
    }

    /// Takes the assignments that stand in front of a command.
    fn assign(&mut self, words: &mut Vec<String>) {
        while let Some((name, value)) = words.first().and_then(|word| word.split_once('=')) {
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name {
                return;
            }
            self.variables.insert(name.to_owned(), value.to_owned());
            words.remove(0);
        }
    }
}

fn open(path: &str, appends: bool) -> Result<std::fs::File, String> {
    let mut options = OpenOptions::new();
    options.create(true).write(true).append(appends).truncate(!appends);
    options.open(path).map_err(|error| format!("can't create {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::Shell;

    fn run(line: &str) -> i32 {
        Shell::new(&["first".to_owned()]).run(line)
    }

    #[test]
    fn lists_depend_on_what_came_before() {
        for (line, code) in [
            ("true", 0),
            ("false; exit 3", 3),
            ("true && exit 4 || exit 5", 4),
            ("false && exit 4 || exit 5", 5),
            ("false; test $? -eq 1 && exit 6", 6),
            ("exit 7; exit 8", 7),
            ("nobody", 127),
        ] {
            assert_eq!(run(line), code, "{line}");
        }
    }

    #[test]
    fn words_have_quotes_and_variables() {
        for line in [
            "test 'a  b' = \"a  b\"",
            "A=1; test \"$A${A}\" = 11",
            "test $0 = first",
            "test -z $NOBODY",
            "[ '$A' != \"\" ] && [[ \\$A == '$A' ]]",
        ] {
            assert_eq!(run(line), 0, "{line}");
        }
        assert_eq!(run("echo ${NOBODY:?}"), 1);
    }

    #[test]
    fn branches_and_loops_go_as_conditions_say() {
        assert_eq!(run("if false; then exit 1; elif true; then exit 2; else exit 3; fi"), 2);
        assert_eq!(run("if test -f /nowhere; then exit 1; fi; exit 4"), 4);
        assert_eq!(run("while true; do exit 5; done"), 5);
    }

    #[test]
    fn what_it_writes_goes_where_it_is_sent() {
        let path = std::env::temp_dir().join(format!("busybox-{}", std::process::id()));
        let line = format!("echo one > {0}; echo two >> {0} && cat {0} && test -f {0}", path.display());
        assert_eq!(run(&line), 0);
        assert_eq!(std::fs::read_to_string(&path).expect("it is written"), "one\ntwo\n");
        std::fs::remove_file(path).expect("it is there");
        assert_eq!(run("echo one > /nowhere/file"), 1);
    }

    #[test]
    fn what_it_does_not_know_it_says_and_does_not_guess() {
        for line in ["a | b", "echo $(date)", "sleep 1 &", "echo 'open", "if true; then exit 0"] {
            assert_eq!(run(line), super::NOT_UNDERSTOOD, "{line}");
        }
    }
}
