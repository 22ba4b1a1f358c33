//! What a compiler's process tells the one that started it, and how a failure is kept on disk: words that end with a zero byte.
//!
//! The process that reads this trusts none of it: what is not one of these forms is no report.

use crate::errors::ImageError;
use crate::meta::Meta;

/// What became of one image.
#[derive(Clone, Debug)]
pub(crate) enum Report {
    /// Its code is written.
    Compiled(Meta),
    /// It cannot be run; trying again would give the same.
    Refused(ImageError),
    /// Something else went wrong.
    Failed(String),
}

impl Report {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let words = match self {
            Self::Compiled(meta) => {
                let (level, program) = meta.words();
                vec!["compiled".to_owned(), level.to_owned(), program.to_owned()]
            }
            Self::Failed(why) => vec!["failed".to_owned(), why.clone()],
            Self::Refused(error) => refusal(error),
        };
        words.iter().flat_map(|word| word.replace('\0', "\u{fffd}").into_bytes().into_iter().chain([0])).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\0')?;
        let words: Vec<&str> = text.split('\0').collect();
        let error = match words.as_slice() {
            ["compiled", level, program] => return Some(Self::Compiled(Meta::from_words(level, program)?)),
            ["failed", why] => return Some(Self::Failed((*why).to_owned())),
            ["not-wasm", looks_like] => ImageError::NotWasm { looks_like: (*looks_like).to_owned() },
            ["precompiled"] => ImageError::Precompiled,
            ["too-large", bytes, limit] => {
                ImageError::TooLarge { bytes: bytes.parse().ok()?, limit: limit.parse().ok()? }
            }
            ["invalid", why] => ImageError::Invalid((*why).to_owned()),
            ["too-demanding", limit] => ImageError::TooDemanding { limit: (*limit).to_owned() },
            ["unknown-import", import] => ImageError::UnknownImport { import: (*import).to_owned(), closest: None },
            ["unknown-import", import, closest] => {
                ImageError::UnknownImport { import: (*import).to_owned(), closest: Some((*closest).to_owned()) }
            }
            ["no-entry", exports] => ImageError::NoEntry { exports: (*exports).to_owned() },
            _ => return None,
        };
        Some(Self::Refused(error))
    }
}

fn refusal(error: &ImageError) -> Vec<String> {
    let words: Vec<&str> = match error {
        ImageError::NotWasm { looks_like } => vec!["not-wasm", looks_like],
        ImageError::Precompiled => vec!["precompiled"],
        ImageError::TooLarge { bytes, limit } => {
            return vec!["too-large".to_owned(), bytes.to_string(), limit.to_string()];
        }
        ImageError::Invalid(why) => vec!["invalid", why],
        ImageError::TooDemanding { limit } => vec!["too-demanding", limit],
        ImageError::UnknownImport { import, closest } => {
            ["unknown-import", import].into_iter().chain(closest.as_deref()).collect()
        }
        ImageError::NoEntry { exports } => vec!["no-entry", exports],
        ImageError::WrongDigest { .. } | ImageError::Read { .. } | ImageError::Internal(_) => {
            return vec!["failed".to_owned(), error.to_string()];
        }
    };
    words.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{ImageError, Report};
    use crate::meta::{Level, Meta, ProgramKind};

    #[test]
    fn what_is_told_is_what_is_heard() {
        let text = |text: &str| text.to_owned();
        for report in [
            Report::Compiled(Meta { level: Level::P3, program: ProgramKind::HttpP3 }),
            Report::Failed(text("no room")),
            Report::Refused(ImageError::NotWasm { looks_like: text("a script") }),
            Report::Refused(ImageError::Precompiled),
            Report::Refused(ImageError::TooLarge { bytes: 3, limit: 2 }),
            Report::Refused(ImageError::Invalid(text("bad\nbad"))),
            Report::Refused(ImageError::TooDemanding { limit: text("a minute") }),
            Report::Refused(ImageError::UnknownImport { import: text("a"), closest: None }),
            Report::Refused(ImageError::UnknownImport { import: text("a"), closest: Some(text("b")) }),
            Report::Refused(ImageError::NoEntry { exports: text("nothing") }),
        ] {
            let heard = Report::decode(&report.encode()).map(|heard| format!("{heard:?}"));
            assert_eq!(heard, Some(format!("{report:?}")));
        }
    }

    #[test]
    fn what_is_no_report_is_none() {
        for bytes in
            [&b""[..], b"compiled\0", b"compiled\0lean\0core", b"compiled\0lean\0core\0more\0", b"\xff\0", b"x\0"]
        {
            assert!(Report::decode(bytes).is_none(), "{bytes:?}");
        }
        let sneaky = Report::Refused(ImageError::Invalid("a\0compiled\0lean\0core".to_owned()));
        assert!(matches!(Report::decode(&sneaky.encode()), Some(Report::Refused(ImageError::Invalid(_)))));
    }
}
