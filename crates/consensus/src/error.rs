//! What can go wrong, as decisions for the caller.

use std::{io, path::PathBuf};

use crate::{ClusterId, InvalidConfig, MemberId};

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
    /// The directory holds another member than the one that is to join.
    #[error(
        "{} holds member {found_member} of group {found_cluster}, not member {member} of group {cluster}; remove the \
         directory, or start without --join",
        dir.display()
    )]
    OtherMember {
        /// The directory.
        dir: PathBuf,
        /// The group found.
        found_cluster: ClusterId,
        /// The member found.
        found_member: MemberId,
        /// The group to join.
        cluster: ClusterId,
        /// The member to become.
        member: MemberId,
    },
    /// The directory must be empty, and is not.
    #[error("{} is not empty; remove what is in it, or choose another directory", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds a member that never received anything from its group.
    #[error("{} holds nothing yet: its member joined a group but never heard of it", dir.display())]
    Nothing {
        /// The directory.
        dir: PathBuf,
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

/// Why the members stay as they are, or who leads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Nobody leads, or this member does not and cannot ask whoever does. Nothing happened; try again.
    #[error("no master leads the group at the moment")]
    NoLeader {
        /// Who leads, as far as this member knows.
        hint: Option<MemberId>,
    },
    /// Another change has not ended; try again when it has.
    #[error("another change of the members is still under way")]
    Busy,
    /// The leader was to be removed and hands over first; ask the next leader.
    #[error("the leader hands over to {to} before it leaves; ask again there")]
    HandsOver {
        /// Who is to lead.
        to: MemberId,
    },
    /// The only member with a vote cannot leave.
    #[error("the last master with a vote cannot be removed")]
    LastVoter,
    /// The member to be added is one already; ids are never used again.
    #[error("{member} belongs to the group already")]
    AlreadyMember {
        /// Which.
        member: MemberId,
    },
    /// The group does not know the member.
    #[error("{member} does not belong to the group")]
    NoSuchMember {
        /// Which.
        member: MemberId,
    },
    /// The member only listens, so it cannot lead.
    #[error("{member} has no vote; promote it first")]
    NotAVoter {
        /// Which.
        member: MemberId,
    },
    /// The member to be promoted has not got most of the log, or has not answered lately. Try again when it has.
    #[error("{member} is not ready for a vote: it is {behind} entries behind or does not answer")]
    NotCaughtUp {
        /// Which.
        member: MemberId,
        /// How many entries it lacks.
        behind: u64,
    },
    /// Afterwards fewer voters than a majority would answer, so nothing could be agreed any more.
    #[error("the change of {member} would leave no majority of masters that answer; repair the others first")]
    WouldLoseQuorum {
        /// Whose change.
        member: MemberId,
    },
    /// The group is as large as it may be.
    #[error("the group has {} members already; remove one first", crate::codec::MEMBERS_MAX)]
    TooManyMembers,
    /// The contact is too long.
    #[error("the contact is longer than {} bytes", crate::codec::CONTACT_BYTES_MAX)]
    ContactTooLong,
    /// The member that was to lead did not take over in time; somebody leads, and it may be tried again.
    #[error("{to} did not take over in time; the leader stays")]
    NotTakenOver {
        /// Who was to lead.
        to: MemberId,
    },
    /// Too much is waiting already. Nothing happened; try again later.
    #[error("too much is waiting")]
    Overloaded,
    /// The member is shut down. Nothing happened.
    #[error("this master is shutting down")]
    Stopped,
    /// The leader was lost before the outcome was known. Look at the members before trying again.
    #[error("the outcome of the change is unknown; look at the members")]
    Unknown,
}

/// What an operator may look at who reads that nobody leads.
fn no_leader(hint: Option<MemberId>) -> String {
    match hint {
        Some(leader) => format!("the leader {leader} does not answer this master at the moment"),
        None => {
            "this master hears no majority of the masters, so nothing can be agreed at the moment; if this lasts, look \
                 whether the others run, are reached from here, and have the right time"
                .to_owned()
        }
    }
}

/// Why a command or a read was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This member does not lead. Nothing happened; try `hint` if it is known, else again after an election timeout.
    #[error("{}", no_leader(*hint))]
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
