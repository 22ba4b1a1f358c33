//! What can go wrong, as decisions for the caller.

use std::{io, path::PathBuf};

use crate::{InvalidConfig, MemberId};

/// Why a data directory could not be opened. None of these is helped by trying again unchanged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration contradicts itself.
    #[error("the configuration is invalid: {0}")]
    Config(#[from] InvalidConfig),
    /// Another process uses the directory.
    #[error("{} is in use by another process; stop it or choose another data directory", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file's content is damaged: bytes that were once acknowledged are lost. A group of several repairs it by letting a
    /// new member join; a single member needs a backup.
    #[error("{} is damaged: {detail}; restore a backup, or let a new member join with an empty directory", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where and how.
        detail: String,
    },
    /// A file was written by a version that this one does not know.
    #[error("{} has format version {found}, this program knows {known}; use the program that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The version known.
        known: u32,
    },
}

/// Why a command or a read was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This member does not lead. Nothing happened; try `hint` if it is known, else again after an election timeout.
    #[error("this master does not lead the group")]
    NoLeader {
        /// Who leads, as far as this member knows.
        hint: Option<MemberId>,
    },
    /// Too much is waiting already. Nothing happened; try again later.
    #[error("too many writes are waiting")]
    Overloaded,
    /// The command is longer than [`COMMAND_BYTES_MAX`](crate::COMMAND_BYTES_MAX). Nothing happened; it never will.
    #[error("the write is larger than {} bytes", crate::COMMAND_BYTES_MAX)]
    TooLarge,
    /// The member is shut down. Nothing happened.
    #[error("this master is shutting down")]
    Stopped,
    /// The member lost its lead or stopped before it knew the outcome: the command may or may not be applied later. Read
    /// before trying again, or send a command that is safe to apply twice.
    #[error("the outcome of the write is unknown")]
    Unknown,
}
