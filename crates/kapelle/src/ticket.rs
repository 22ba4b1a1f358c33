//! The token with which a process joins, from the command line, a file or standard input.

use std::{
    fs::File,
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Args;
use rpc::identity::Token;

/// The most bytes that are read of a file with a token, which has about a hundred.
const FILE_BYTES_MAX: u64 = 4096;

/// Where the token is.
#[derive(Args, Debug)]
pub(crate) struct Ticket {
    /// The token to join with, from `kapelle token create`; needed once. Other users of this machine can see what stands on
    /// a command line, so prefer --token-file
    #[arg(long)]
    token: Option<Token>,
    /// A file with the token, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
}

impl Ticket {
    /// Whether a token was named.
    pub(crate) fn is_given(&self) -> bool {
        self.token.is_some() || self.token_file.is_some()
    }

    /// The token, if one was named.
    ///
    /// # Errors
    /// If the file cannot be read or holds no token.
    pub(crate) fn read(&self) -> Result<Option<Token>> {
        if let Some(path) = &self.token_file {
            let text = text(path).with_context(|| format!("--token-file: cannot read {}", path.display()))?;
            let token = text.trim().parse().map_err(anyhow::Error::from);
            return token.map(Some).with_context(|| format!("--token-file: {} holds no token", path.display()));
        }
        Ok(self.token.clone())
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(content: &str) -> Result<Option<Token>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, content).unwrap();
        Ticket { token: None, token_file: Some(path) }.read()
    }

    #[test]
    fn a_file_holds_a_token_and_nothing_else() {
        let token = Token::generate("07".repeat(32).parse().unwrap()).unwrap().to_string();
        assert_eq!(read(&format!("  {token}\n")).unwrap().unwrap().to_string(), token);
        let error = |content: &str| format!("{:#}", read(content).unwrap_err());
        assert!(error("").contains("holds no token"), "{}", error(""));
        assert!(error(&"x".repeat(1 << 20)).contains("holds no token"));
        let missing = Ticket { token: None, token_file: Some("/nowhere/token".into()) }.read().unwrap_err();
        assert!(format!("{missing:#}").contains("--token-file: cannot read /nowhere/token"), "{missing:#}");
    }
}
