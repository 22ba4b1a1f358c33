//! What a rule of a role is held against.

use api::{Kind, Served, Subresource, Verb};

use crate::access::Asked;

/// The group of what is not Kubernetes' own.
const OWN_GROUP: &str = "kapelle.dev";

/// What somebody wants to do, in the words of rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes<'a> {
    /// Something with a resource.
    Resource(ResourceAttributes<'a>),
    /// Something with a path that belongs to no resource.
    NonResource {
        /// The method, in lower case.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// What somebody wants to do with a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceAttributes<'a> {
    /// What is to be done.
    pub verb: &'a str,
    /// The group; empty for the core one.
    pub group: &'a str,
    /// The resource: the plural of a kind.
    pub resource: &'a str,
    /// The part of it; empty for the object itself.
    pub subresource: &'a str,
    /// The namespace; empty for all of them, and where there is none.
    pub namespace: &'a str,
    /// The name; empty for many, and for one whose name is not known yet.
    pub name: &'a str,
}

impl<'a> Attributes<'a> {
    /// Where it is; empty for all namespaces, and where there is none.
    pub(super) fn namespace(&self) -> &'a str {
        match self {
            Self::Resource(asked) => asked.namespace,
            Self::NonResource { .. } => "",
        }
    }

    /// The same in each of the groups in which the same objects are served.
    pub(super) fn everywhere(&self) -> impl Iterator<Item = Self> + use<'a> {
        let asked = *self;
        let elsewhere = move || match asked {
            Self::Resource(asked) => Some(asked.elsewhere().map(Self::Resource)),
            Self::NonResource { .. } => None,
        };
        // Most askers find what they need where they asked, and nobody looks elsewhere.
        std::iter::once(asked).chain(std::iter::once_with(elsewhere).flatten().flatten())
    }
}

impl<'a> ResourceAttributes<'a> {
    /// Something with images. A repository `team/app` is in the namespace `team`, so that a RoleBinding there is about all
    /// repositories below `team/`; one without a slash is in none.
    pub(crate) fn of_images(verb: Verb, repository: &'a str) -> Self {
        let namespace = repository.split_once('/').map_or("", |(first, _)| first);
        let of_images = Self { verb: verb.word(), group: OWN_GROUP, resource: "images", ..Self::default() };
        Self { namespace, name: repository, ..of_images }
    }

    /// To see who the masters are.
    pub(crate) fn of_masters() -> Self {
        Self { verb: Verb::Get.word(), group: OWN_GROUP, resource: "masters", ..Self::default() }
    }

    /// The same for the other groups in which the same objects are served: Events are one resource, whichever group a rule or a
    /// URL calls them by.
    pub(super) fn elsewhere(self) -> impl Iterator<Item = Self> {
        let is_it = move |served: &Served| {
            let info = served.info();
            info.group == self.group && info.plural == self.resource
        };
        let kind = Served::all().find(is_it).map(Served::kind);
        let others = Served::all().filter(move |served| Some(served.kind()) == kind).map(|served| served.info().group);
        others.filter(move |group| *group != self.group).map(move |group| Self { group, ..self })
    }
}

impl<'a> Asked<'a> {
    /// What is asked, as rules call it.
    pub(super) fn attributes(self) -> ResourceAttributes<'a> {
        let Self { verb, key, subresource, fields } = self;
        let info = key.kind.info();
        let (verb, subresource) = match verb {
            Verb::Log => (Verb::Get, Subresource::Log),
            Verb::Get
            | Verb::List
            | Verb::Watch
            | Verb::Create
            | Verb::Update
            | Verb::Patch
            | Verb::Delete
            | Verb::DeleteCollection => (verb, subresource),
        };
        let selected = || fields.and_then(|fields| fields.required("metadata.name")).unwrap_or_default();
        let name = if key.name.is_empty() { selected() } else { &*key.name };
        // A Namespace is in itself, so that a RoleBinding in it can be about it.
        let namespace = if key.kind == Kind::Namespace { &*key.name } else { &*key.namespace };
        ResourceAttributes {
            verb: verb.word(),
            group: info.group,
            resource: info.plural,
            subresource: subresource.word(),
            namespace,
            name,
        }
    }
}
