//! From a line of a shell to words, and from words to commands.

/// A part of a line.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Word(Vec<Piece>),
    /// `;`, `&&`, `||`, `>`, `>>`; a new line is a `;`.
    Sign(&'static str),
    /// `>` that sends the second output somewhere.
    ErrorsTo(&'static str),
}

/// What a word consists of.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Text(String),
    Variable { name: String, is_required: bool },
}

#[derive(Clone, Debug)]
pub enum Command {
    Simple(Vec<Token>),
    If { condition: Vec<Step>, then: Vec<Step>, otherwise: Vec<Step> },
    While { condition: Vec<Step>, body: Vec<Step> },
}

/// A command, and on what of the one before it depends.
#[derive(Clone, Debug)]
pub struct Step {
    pub when: When,
    pub command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    Always,
    Succeeded,
    Failed,
}

const SIGNS: [&str; 5] = ["&&", "||", ">>", ";", ">"];

/// The tokens of a line, or what of it is not understood.
pub fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Ok(found);
        }
        if let Some(after) = rest.strip_prefix('\n') {
            found.push(Token::Sign(";"));
            rest = after;
        } else if let Some(after) = rest.strip_prefix("2>&1") {
            found.push(Token::ErrorsTo("1"));
            rest = after;
        } else if let Some(after) = rest.strip_prefix(">&2") {
            found.push(Token::Sign(">&2"));
            rest = after;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            found.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else if rest.starts_with(['|', '&', '`', '(', ')', '<']) {
            return Err(format!("this shell has no {:?}", &rest[..1]));
        } else {
            let (word, after) = word(rest)?;
            found.push(Token::Word(word));
            rest = after;
        }
    }
}

fn word(line: &str) -> Result<(Vec<Piece>, &str), String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut quote = None;
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        match (next, quote) {
            ('\'', None) | ('"', None) => quote = Some(next),
            (_, Some(of)) if next == of => quote = None,
            ('\\', None | Some('"')) => {
                let escaped = after.chars().next().unwrap_or('\\');
                text.push(escaped);
                rest = after.get(escaped.len_utf8()..).unwrap_or_default();
                continue;
            }
            ('$', None | Some('"')) => {
                if after.starts_with('(') {
                    return Err("this shell has no \"$(\"".to_owned());
                }
                let (piece, after) = variable(after);
                pieces.extend([Piece::Text(std::mem::take(&mut text)), piece]);
                rest = after;
                continue;
            }
            (' ' | '\t' | '\n' | ';' | '&' | '|' | '>' | '<', None) => break,
            _ => text.push(next),
        }
        rest = after;
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    pieces.push(Piece::Text(text));
    Ok((pieces, rest))
}

/// What stands behind a `$`.
fn variable(text: &str) -> (Piece, &str) {
    if let Some((inside, after)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        let is_required = inside.contains(":?");
        let name = inside.split(":?").next().unwrap_or_default().to_owned();
        return (Piece::Variable { name, is_required }, after);
    }
    if let Some(after) = text.strip_prefix('?') {
        return (Piece::Variable { name: "?".to_owned(), is_required: false }, after);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if end == 0 {
        return (Piece::Text("$".to_owned()), text);
    }
    (Piece::Variable { name: text[..end].to_owned(), is_required: false }, &text[end..])
}

/// The commands of some tokens.
pub fn steps(tokens: Vec<Token>) -> Result<Vec<Step>, String> {
    let mut parser = Parser { tokens, at: 0 };
    let steps = parser.list(&[])?;
    if parser.at < parser.tokens.len() { Err("a word stands where no command ends".to_owned()) } else { Ok(steps) }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn keyword(&self) -> Option<&str> {
        match self.tokens.get(self.at)? {
            Token::Word(pieces) => match pieces.as_slice() {
                [Piece::Text(text)] => Some(text),
                _ => None,
            },
            Token::Sign(_) | Token::ErrorsTo(_) => None,
        }
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.keyword() == Some(word) {
            self.at += 1;
            return Ok(());
        }
        Err(format!("{word:?} is missing"))
    }

    /// Commands up to one of some words, which is left.
    fn list(&mut self, ends: &[&str]) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        let mut when = When::Always;
        loop {
            match self.tokens.get(self.at) {
                None => return Ok(steps),
                Some(Token::Sign(sign @ (";" | "&&" | "||"))) => {
                    when = match *sign {
                        "&&" => When::Succeeded,
                        "||" => When::Failed,
                        _ => When::Always,
                    };
                    self.at += 1;
                }
                Some(_) if self.keyword().is_some_and(|word| ends.contains(&word)) => return Ok(steps),
                Some(_) => {
                    let command = self.command()?;
                    steps.push(Step { when, command });
                    when = When::Always;
                }
            }
        }
    }

    fn command(&mut self) -> Result<Command, String> {
        match self.keyword() {
            Some("if") => {
                self.at += 1;
                self.branches()
            }
            Some("while") => {
                self.at += 1;
                let condition = self.list(&["do"])?;
                self.expect("do")?;
                let body = self.list(&["done"])?;
                self.expect("done")?;
                Ok(Command::While { condition, body })
            }
            _ => Ok(Command::Simple(self.simple())),
        }
    }

    fn branches(&mut self) -> Result<Command, String> {
        let condition = self.list(&["then"])?;
        self.expect("then")?;
        let then = self.list(&["elif", "else", "fi"])?;
        let otherwise = match self.keyword() {
            Some("elif") => {
                self.at += 1;
                return Ok(Command::If {
                    condition,
                    then,
                    otherwise: vec![Step { when: When::Always, command: self.branches()? }],
                });
            }
            Some("else") => {
                self.at += 1;
                self.list(&["fi"])?
            }
            _ => Vec::new(),
        };
        self.expect("fi")?;
        Ok(Command::If { condition, then, otherwise })
    }

    fn simple(&mut self) -> Vec<Token> {
        let rest = &self.tokens[self.at..];
        let length =
            rest.iter().position(|token| matches!(token, Token::Sign(";" | "&&" | "||"))).unwrap_or(rest.len());
        self.at += length;
        rest[..length].to_vec()
    }
}
