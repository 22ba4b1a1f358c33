//! Expressions as words.

use super::Problem;

/// One word of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i64),
    /// A number so large that only a minus before it makes it one.
    MinInt,
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

/// Operators and brackets; of those that begin alike the longer ones first.
const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]",
    "{", "}", "=",
];

/// The words with the bytes at which they begin; the last one is the end.
pub(super) fn words(text: &str) -> Result<Vec<(usize, Token)>, Problem> {
    let mut lexer = Lexer { text, at: 0 };
    let mut words = Vec::new();
    loop {
        lexer.space();
        let at = lexer.at;
        let token = lexer.token()?;
        let end = token == Token::End;
        words.push((at, token));
        if end {
            return Ok(words);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.at += length;
        taken
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let length = self.rest().find(|char| !is(char)).unwrap_or(self.rest().len());
        self.take(length)
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.at, message)
    }

    /// Spaces and comments.
    fn space(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|char| char != '\n');
        }
    }

    fn token(&mut self) -> Result<Token, Problem> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if let Some(text) = self.literal()? {
            return Ok(text);
        }
        let fraction = first == '.' && rest[1..].starts_with(|char: char| char.is_ascii_digit());
        if first.is_ascii_digit() || fraction {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(Token::Name(self.take_while(|char| char.is_ascii_alphanumeric() || char == '_').to_owned()));
        }
        if first == '`' {
            return self.quoted_name();
        }
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let sign = sign.ok_or_else(|| self.problem(format!("Syntax error: token recognition error at: '{first}'")))?;
        self.take(sign.len());
        Ok(Token::Sign(sign))
    }

    /// A field's name in backquotes, with the characters that plain names have not.
    fn quoted_name(&mut self) -> Result<Token, Problem> {
        let inside = &self.rest()[1..];
        let end = inside.find('`').ok_or_else(|| self.problem("Syntax error: a name in backquotes does not end"))?;
        self.take(end + 2);
        Ok(Token::Name(inside[..end].to_owned()))
    }

    fn number(&mut self) -> Result<Token, Problem> {
        let start = self.at;
        let too_large = || Problem::new(start, "invalid int literal");
        if let Some(hex) = self.rest().strip_prefix("0x").or_else(|| self.rest().strip_prefix("0X")) {
            let length = hex.find(|char: char| !char.is_ascii_hexdigit()).unwrap_or(hex.len());
            self.take(length + 2);
            let value = u64::from_str_radix(&hex[..length], 16).map_err(|_| too_large())?;
            return if self.unsigned() {
                Ok(Token::Uint(value))
            } else {
                i64::try_from(value).map(Token::Int).map_err(|_| too_large())
            };
        }
        self.take_while(|char| char.is_ascii_digit());
        let fraction =
            self.rest().strip_prefix('.').is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()));
        if fraction {
            self.take(1);
            self.take_while(|char| char.is_ascii_digit());
        }
        let exponent = self.exponent();
        let digits = &self.text[start..self.at];
        if fraction || exponent {
            return digits.parse().map(Token::Double).map_err(|_| Problem::new(start, "invalid double literal"));
        }
        if self.unsigned() {
            return digits.parse().map(Token::Uint).map_err(|_| Problem::new(start, "invalid uint literal"));
        }
        match digits.parse::<u64>() {
            Ok(value) if value == 1 << 63 => Ok(Token::MinInt),
            Ok(value) => i64::try_from(value).map(Token::Int).map_err(|_| too_large()),
            Err(_) => Err(too_large()),
        }
    }

    fn unsigned(&mut self) -> bool {
        let unsigned = self.rest().starts_with(['u', 'U']);
        self.at += usize::from(unsigned);
        unsigned
    }

    fn exponent(&mut self) -> bool {
        let Some(rest) = self.rest().strip_prefix(['e', 'E']) else { return false };
        let signed = usize::from(rest.starts_with(['+', '-']));
        if !rest[signed..].starts_with(|char: char| char.is_ascii_digit()) {
            return false;
        }
        self.take(1 + signed);
        self.take_while(|char| char.is_ascii_digit());
        true
    }

    /// A text or bytes, with the letters that may stand before the quotes.
    fn literal(&mut self) -> Result<Option<Token>, Problem> {
        let quote = self.rest().bytes().take(3).position(|byte| matches!(byte, b'"' | b'\''));
        let Some(letters) = quote else { return Ok(None) };
        let Some(prefix) = self.rest().get(..letters) else { return Ok(None) };
        let (raw, bytes) = match prefix.to_ascii_lowercase().as_str() {
            "" => (false, false),
            "r" => (true, false),
            "b" => (false, true),
            "rb" | "br" => (true, true),
            _ => return Ok(None),
        };
        self.take(letters);
        let quote =
            ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| self.rest().starts_with(quote)).unwrap_or("\"");
        self.take(quote.len());
        let value = self.inside(quote, raw, bytes)?;
        Ok(Some(if bytes {
            Token::Bytes(value)
        } else {
            Token::Text(String::from_utf8(value).map_err(|_| self.problem("Syntax error: the text is not UTF-8"))?)
        }))
    }

    fn inside(&mut self, quote: &str, raw: bool, bytes: bool) -> Result<Vec<u8>, Problem> {
        let mut value = Vec::new();
        loop {
            if self.rest().starts_with(quote) {
                self.take(quote.len());
                return Ok(value);
            }
            let Some(char) = self.rest().chars().next() else {
                return Err(self.problem("Syntax error: a text does not end"));
            };
            if char == '\n' && quote.len() == 1 {
                return Err(self.problem("Syntax error: a text goes over the end of its line; use three quotes"));
            }
            self.take(char.len_utf8());
            if char == '\\' && !raw {
                self.escaped(bytes, &mut value)?;
            } else {
                value.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    fn escaped(&mut self, bytes: bool, into: &mut Vec<u8>) -> Result<(), Problem> {
        let wrong = self.problem("Syntax error: no such escape in a text");
        let Some(char) = self.rest().chars().next() else { return Err(wrong) };
        let digits = match char {
            'x' | 'X' => 2,
            'u' if !bytes => 4,
            'U' if !bytes => 8,
            '0'..='3' => {
                let code = self.rest().get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()).ok_or(wrong)?;
                self.take(3);
                return push(u32::from(code), bytes, into)
                    .ok_or_else(|| self.problem("Syntax error: no such character"));
            }
            _ => {
                self.take(char.len_utf8());
                into.push(plain_escape(char).ok_or(wrong)?);
                return Ok(());
            }
        };
        let code = self.rest().get(1..=digits).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok()).ok_or(wrong)?;
        self.take(1 + digits);
        push(code, bytes, into).ok_or_else(|| self.problem("Syntax error: no such character"))
    }
}

/// What a character behind a backslash stands for.
fn plain_escape(char: char) -> Option<u8> {
    Some(match char {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0C,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0B,
        '\\' => b'\\',
        '?' => b'?',
        '"' => b'"',
        '\'' => b'\'',
        '`' => b'`',
        _ => return None,
    })
}

/// A byte, or a character.
fn push(code: u32, bytes: bool, into: &mut Vec<u8>) -> Option<()> {
    if bytes {
        into.push(u8::try_from(code).ok()?);
    } else {
        into.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(())
}
