//! What the log carries: groups of operations that happen together or not at all.

use std::sync::Arc;

use api::{
    Key, Kind, Revision,
    object::{CustomKind, CustomObject, KindName},
};
use bytes::Bytes;
use prost::Message as _;

/// Operations that happen together or not at all. Preconditions are checked against the state before the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// The operations, in order. Each that changes an object takes one revision.
    pub ops: Vec<Op>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Stores an object.
    Put {
        /// Its name.
        key: Key,
        /// Its protobuf bytes.
        bytes: Bytes,
        /// What must be true before.
        expect: Expect,
    },
    /// Removes an object.
    Delete {
        /// Its name.
        key: Key,
        /// What must be true before. [`Expect::Absent`] never is.
        expect: Expect,
    },
    /// Takes a name that only one object may have, such as a Service's address; refused if another object has it.
    Claim {
        /// The name.
        name: String,
        /// Who takes it.
        owner: Key,
    },
    /// Gives a claimed name back; nothing happens if nobody has it.
    Release {
        /// The name.
        name: String,
    },
    /// Changes nothing; refused if something has happened to the objects of a kind in a namespace since a revision. Whoever has
    /// looked at all of them knows by it that it is still so.
    Still {
        /// The kind.
        kind: Kind,
        /// The namespace.
        namespace: Arc<str>,
        /// The revision of the state in which somebody has looked.
        since: Revision,
        /// What must not have happened.
        news: News,
    },
    /// Steps the revision forward without a change, and forgets the history: watches from before must list again. What a
    /// restored state begins with.
    Advance {
        /// By how much.
        by: u64,
    },
}

/// What must be true of an object for an operation to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    #[default]
    Any,
    /// It does not exist.
    Absent,
    /// It exists at exactly this revision.
    Revision(Revision),
}

/// What may happen to objects that somebody has looked at. That some of them go is never news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// There is a new one.
    Created,
    /// There is a new one, or one is not what it was.
    Changed,
}

/// Bytes that are not a transaction.
#[derive(Debug, thiserror::Error)]
pub enum BadTxn {
    /// Not such a message at all.
    #[error("not a transaction")]
    Encoding(#[from] prost::DecodeError),
    /// From a later version: a kind or operation that this one does not know.
    #[error("unknown {what} {code}; was this log written by a newer version?")]
    Unknown {
        /// What is unknown.
        what: &'static str,
        /// Its number.
        code: u32,
    },
}

impl Txn {
    /// The bytes for the log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        wire::Txn { ops: self.ops.iter().map(wire::Op::from).collect() }.encode_to_vec().into()
    }

    /// Reads what [`Txn::encode`] wrote. Object bytes are shared with the input, not copied.
    ///
    /// # Errors
    /// If the bytes are not a transaction, or from a version that knows more.
    pub fn decode(bytes: Bytes) -> Result<Self, BadTxn> {
        let txn = wire::Txn::decode(bytes)?;
        Ok(Self { ops: txn.ops.into_iter().map(Op::try_from).collect::<Result<_, _>>()? })
    }
}

/// The layout in the log. Numbers are never reused.
pub(crate) mod wire {
    use bytes::Bytes;

    /// The kind of a key, if a user has defined it.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct Custom {
        #[prost(string, tag = "1")]
        pub(crate) group: String,
        #[prost(string, tag = "2")]
        pub(crate) plural: String,
        #[prost(string, tag = "3")]
        pub(crate) kind: String,
        #[prost(bool, tag = "4")]
        pub(crate) namespaced: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Txn {
        #[prost(message, repeated, tag = "1")]
        pub(super) ops: Vec<Op>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Op {
        /// 1 put, 2 delete, 3 claim, 4 release, 5 advance (by `revision`), 6 still (since `revision`).
        #[prost(uint32, tag = "1")]
        pub(super) action: u32,
        #[prost(uint32, tag = "2")]
        pub(super) kind: u32,
        #[prost(string, tag = "3")]
        pub(super) namespace: String,
        #[prost(string, tag = "4")]
        pub(super) name: String,
        #[prost(bytes = "bytes", tag = "5")]
        pub(super) bytes: Bytes,
        #[prost(bool, tag = "6")]
        pub(super) absent: bool,
        #[prost(uint64, optional, tag = "7")]
        pub(super) revision: Option<u64>,
        #[prost(string, tag = "8")]
        pub(super) claim: String,
        #[prost(message, optional, tag = "9")]
        pub(super) custom: Option<Custom>,
    }
}

const PUT: u32 = 1;
const DELETE: u32 = 2;
const CLAIM: u32 = 3;
const RELEASE: u32 = 4;
const ADVANCE: u32 = 5;
const STILL: u32 = 6;

impl From<&Op> for wire::Op {
    fn from(op: &Op) -> Self {
        match op {
            Op::Put { key, bytes, expect } => Self { bytes: bytes.clone(), ..about(PUT, key, *expect) },
            Op::Delete { key, expect } => about(DELETE, key, *expect),
            Op::Claim { name, owner } => Self { claim: name.clone(), ..about(CLAIM, owner, Expect::Any) },
            Op::Release { name } => Self { action: RELEASE, claim: name.clone(), ..Self::default() },
            Op::Still { kind, namespace, since, news } => Self {
                action: STILL,
                kind: kind.info().code,
                custom: custom(*kind),
                namespace: namespace.to_string(),
                revision: Some(since.0),
                absent: *news == News::Created,
                ..Self::default()
            },
            Op::Advance { by } => Self { action: ADVANCE, revision: Some(*by), ..Self::default() },
        }
    }
}

fn about(action: u32, key: &Key, expect: Expect) -> wire::Op {
    wire::Op {
        action,
        kind: key.kind.info().code,
        custom: custom(key.kind),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        absent: expect == Expect::Absent,
        revision: if let Expect::Revision(revision) = expect { Some(revision.0) } else { None },
        ..wire::Op::default()
    }
}

impl TryFrom<wire::Op> for Op {
    type Error = BadTxn;

    fn try_from(op: wire::Op) -> Result<Self, BadTxn> {
        let expect = match (op.absent, op.revision) {
            (true, _) => Expect::Absent,
            (false, Some(revision)) => Expect::Revision(Revision(revision)),
            (false, None) => Expect::Any,
        };
        let key =
            || Ok::<_, BadTxn>(Key::namespaced(kind(op.kind, op.custom)?, op.namespace.as_str(), op.name.as_str()));
        Ok(match op.action {
            PUT => Self::Put { key: key()?, bytes: op.bytes, expect },
            DELETE => Self::Delete { key: key()?, expect },
            CLAIM => Self::Claim { name: op.claim, owner: key()? },
            RELEASE => Self::Release { name: op.claim },
            STILL => {
                let Key { kind, namespace, .. } = key()?;
                let news = if op.absent { News::Created } else { News::Changed };
                Self::Still { kind, namespace, since: Revision(op.revision.unwrap_or_default()), news }
            }
            ADVANCE => Self::Advance { by: op.revision.unwrap_or_default() },
            code => return Err(BadTxn::Unknown { what: "operation", code }),
        })
    }
}

/// What a key says beside the number of its kind.
pub(crate) fn custom(kind: Kind) -> Option<wire::Custom> {
    let Kind::Custom(kind) = kind else { return None };
    let KindName { group, plural, kind, namespaced } = kind.name();
    Some(wire::Custom { group, plural, kind, namespaced })
}

/// The kind of a key. Whatever name a user's kind has is let in: what one master has agreed to, all have.
pub(crate) fn kind(code: u32, custom: Option<wire::Custom>) -> Result<Kind, BadTxn> {
    match custom {
        Some(wire::Custom { group, plural, kind, namespaced }) if code == CustomObject::CODE => {
            Ok(Kind::Custom(CustomKind::of(&KindName { group, plural, kind, namespaced })))
        }
        _ => Kind::from_code(code).ok_or(BadTxn::Unknown { what: "kind", code }),
    }
}
