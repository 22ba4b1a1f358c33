//! `$(NAME)` in the variables, the command and the arguments of a container, as Kubernetes fills them in: within a limit.
//!
//! Each reference can double what came before it, so that a few lines could ask for more memory than there is. What is made
//! is counted before it is made.

use std::collections::HashMap;

/// All variables of a container with its command and arguments, in bytes: half of what Linux gives a program, and room for a
/// whole ConfigMap.
pub const ENVIRONMENT_BYTES_MAX: usize = 1 << 20;

/// A container has more variables, or longer ones, than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the variables, command and arguments take more than {ENVIRONMENT_BYTES_MAX} bytes with every $(NAME) filled in; use \
     fewer or shorter ones, or mount long values as files"
)]
pub struct TooLarge;

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it stands.
    Text(&'a str),
    /// `$(NAME)`: the whole, and the name.
    Reference(&'a str, &'a str),
}

/// The pieces of a text. `$$` is a dollar; a dollar alone stays as it stands.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, length) = first(rest);
        rest = &rest[length..];
        Some(piece)
    })
}

/// The first piece of a text that is not empty, and how long it is there.
fn first(text: &str) -> (Piece<'_>, usize) {
    match text.find('$') {
        None => (Piece::Text(text), text.len()),
        Some(0) if text.starts_with("$$") => (Piece::Text("$"), 2),
        Some(0) => match text.strip_prefix("$(").and_then(|inner| inner.split_once(')')) {
            Some((name, _)) => {
                let length = name.len() + "$()".len();
                (Piece::Reference(&text[..length], name), length)
            }
            None => (Piece::Text("$"), 1),
        },
        Some(at) => (Piece::Text(&text[..at]), at),
    }
}

/// The variables of a container while they are gathered. Later ones win and stand last.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<Option<(String, String)>>,
    places: HashMap<String, usize>,
    bytes: usize,
}

impl Environment {
    /// Sets a variable.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn set(&mut self, name: String, value: String) -> Result<(), TooLarge> {
        if let Some((name, value)) = self.places.get(&name).and_then(|place| self.variables[*place].take()) {
            self.bytes -= name.len() + value.len();
        }
        self.take(name.len() + value.len())?;
        self.places.insert(name.clone(), self.variables.len());
        self.variables.push(Some((name, value)));
        Ok(())
    }

    /// A text with its references filled in; names that are not known stay as they stand.
    ///
    /// # Errors
    /// If it does not fit beside the variables.
    pub fn expand(&self, text: &str) -> Result<String, TooLarge> {
        let mut expanded = String::new();
        for piece in pieces(text) {
            let piece = match piece {
                Piece::Text(text) => text,
                Piece::Reference(whole, name) => self.get(name).unwrap_or(whole),
            };
            if self.bytes + expanded.len() + piece.len() > ENVIRONMENT_BYTES_MAX {
                return Err(TooLarge);
            }
            expanded.push_str(piece);
        }
        Ok(expanded)
    }

    /// Texts with their references filled in, which take room beside the variables: a command with its arguments.
    ///
    /// # Errors
    /// If they do not fit together.
    pub fn words<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) -> Result<Vec<String>, TooLarge> {
        let mut words = Vec::new();
        for text in texts {
            let word = self.expand(text)?;
            self.take(word.len())?;
            words.push(word);
        }
        Ok(words)
    }

    /// The variables, in order.
    #[must_use]
    pub fn into_variables(self) -> Vec<(String, String)> {
        self.variables.into_iter().flatten().collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables[*self.places.get(name)?].as_ref().map(|(_, value)| value.as_str())
    }

    fn take(&mut self, bytes: usize) -> Result<(), TooLarge> {
        self.bytes += bytes;
        if self.bytes > ENVIRONMENT_BYTES_MAX { Err(TooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{ENVIRONMENT_BYTES_MAX, Environment, TooLarge};

    #[test]
    fn variables_are_filled_in_as_kubernetes_does() {
        let mut environment = Environment::default();
        environment.set("A".to_owned(), "0".to_owned()).unwrap();
        environment.set("B".to_owned(), "2".to_owned()).unwrap();
        environment.set("A".to_owned(), "1".to_owned()).unwrap();
        assert_eq!(environment.expand("x$(A)y $$(A) $(C) $ $(A").unwrap(), "x1y $(A) $(C) $ $(A");
        let texts = ["$(A)".to_owned(), "$$$(B)$".to_owned(), String::new(), "$".to_owned()];
        assert_eq!(environment.words(&texts).unwrap(), ["1", "$2$", "", "$"]);
        let variables = environment.into_variables();
        assert_eq!(variables, [("B".to_owned(), "2".to_owned()), ("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn references_that_double_end_at_the_limit() {
        let mut environment = Environment::default();
        environment.set("E0".to_owned(), "x".to_owned()).unwrap();
        let doubled = (1..=45).try_for_each(|n| {
            let before = format!("$(E{})", n - 1);
            let value = environment.expand(&format!("{before}{before}"))?;
            environment.set(format!("E{n}"), value)
        });
        assert_eq!(doubled, Err(TooLarge));

        let mut environment = Environment::default();
        environment.set("E".to_owned(), "x".repeat(ENVIRONMENT_BYTES_MAX / 2)).unwrap();
        assert!(environment.words(&["$(E)".to_owned()]).is_err(), "with its name it does not fit twice");
        assert!(environment.expand(&"$(E)".repeat(300_000)).is_err());
    }
}
