//! Who asks, what is asked, and whether it is allowed.
//!
//! Every language describes what it is asked for as an [`Access`], before it looks at any object; `authorise` allows or refuses
//! it; what roles give is in `rbac`, what the Pods of a node need in `node_uses`. What a node may say within the writes that it is
//! allowed is up to `node_restriction`.

mod authorise;
mod caller;
mod node_restriction;
mod node_uses;
mod rbac;
mod signers;

pub use caller::{Caller, User};
pub(crate) use node_uses::NodeUses;
pub use rbac::{Attributes, ResourceAttributes, Roles, RulesOf, Verdict};
pub(crate) use rbac::{Grant, Rights, reads_secrets};
pub(crate) use signers::Certifying;

use api::{Error, Key, Subresource, Verb, Write, selector::Fields};

/// What somebody wants to do. Every request is described as one of these and passed to
/// [`Registry::authorise`](crate::Registry::authorise) before anything else of it is looked at.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// What everybody may do, with or without a certificate: join, and see whether this process is well.
    Public,
    /// What everybody of the cluster may do: read what the API offers, and ask who one is. A request for objects is allowed in
    /// as this, too; once its object is known, it is checked again as [`Access::Objects`].
    Inside,
    /// To do something with objects.
    Objects(Asked<'a>),
    /// To do something with a resource that is of no kind here, such as one that a backend of the API serves.
    Resource(ResourceAttributes<'a>),
    /// To say that a node is alive.
    Heartbeat(&'a str),
    /// To do something with the images of a repository; of all of them, if the name is empty.
    Images(Verb, &'a str),
    /// The same where only the body says which repository is meant: whoever might is let in, and asked again as
    /// [`Access::Images`] once it is known.
    SomeImages(Verb),
    /// To renew one's own certificate.
    Renew,
    /// To see the group of masters.
    SeeMasters,
    /// To join the group of masters, or to say where one of them is reached.
    Admit,
    /// What only administrators and masters do, in the words that complete "User … cannot".
    Administer(&'static str),
}

/// What is to be done with which objects.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is to be done.
    pub verb: Verb,
    /// With which object. The name is empty for a collection and for an object whose name is not known yet, the namespace
    /// for all of them.
    pub key: &'a Key,
    /// With which subresource of it.
    pub subresource: Subresource,
    /// Of a collection, only those objects that have these fields.
    pub fields: Option<&'a Fields>,
}

impl<'a> Access<'a> {
    /// Something with one object as a whole.
    #[must_use]
    pub fn to(verb: Verb, key: &'a Key) -> Self {
        Self::to_subresource(verb, key, Subresource::None)
    }

    /// Something with a subresource of one object.
    #[must_use]
    pub fn to_subresource(verb: Verb, key: &'a Key, subresource: Subresource) -> Self {
        Self::Objects(Asked { verb, key, subresource, fields: None })
    }

    /// Something with those objects of a collection that have some fields.
    #[must_use]
    pub fn to_many(verb: Verb, key: &'a Key, fields: &'a Fields) -> Self {
        Self::Objects(Asked { verb, key, subresource: Subresource::None, fields: Some(fields) })
    }

    /// Refuses what objects of the kind do not offer to anybody. Whether they have a subresource is looked up where it is
    /// served.
    pub(crate) fn offered(self) -> Result<(), Error> {
        let Self::Objects(Asked { verb, key, subresource, .. }) = self else { return Ok(()) };
        let is_offered = subresource != Subresource::None || key.kind.info().offers(verb);
        if is_offered { Ok(()) } else { Err(Error::method_not_allowed()) }
    }
}

impl<'a> Asked<'a> {
    /// What a write does. `key` is that of the write.
    #[must_use]
    pub fn of(write: &Write, key: &'a Key) -> Self {
        let (verb, subresource) = match write {
            Write::Create(_) => (Verb::Create, Subresource::None),
            Write::Update(_, Subresource::Binding) => (Verb::Create, Subresource::Binding),
            Write::Update(_, subresource) => (Verb::Update, *subresource),
            Write::Delete(..) => (Verb::Delete, Subresource::None),
        };
        Self { verb, key, subresource, fields: None }
    }

    /// The same where a deletion is asked for through a subresource of its own.
    #[must_use]
    pub fn through(self, subresource: Subresource) -> Self {
        if subresource == Subresource::None { self } else { Self { verb: Verb::Create, subresource, ..self } }
    }
}
