//! The kinds that users have defined, as a state knows them, and in which form their objects are read and written.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use api::{
    Error, Kind, Object, ReadAt, Reason, Revision, Served, Write,
    apiextensions_v1::CustomResourceDefinition,
    apply::{self, shown},
    custom::{Definition, Definitions, OwnedKind, Version},
    defaults,
    json::{self, Decoded, Strictness},
    object::{CustomObject, CustomVersion, NAMES_MAX, has_room_for_names},
};
use serde_json::Value;
use store::{Objects, Record, View};

use crate::Registry;

/// The definitions that were looked at last. They change seldom and are asked for often.
#[derive(Debug, Default)]
pub(crate) struct Defined(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Of which objects the rest was made.
    objects: Objects,
    /// Each definition at the revision of its object.
    each: BTreeMap<Arc<str>, (Revision, Arc<Definition>)>,
    all: Arc<Definitions>,
}

impl Defined {
    /// What a state has defined. At once, if nothing of it has changed since somebody asked.
    pub(crate) fn of(&self, view: &View) -> Arc<Definitions> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.objects.are_those_of(view, Kind::CustomResourceDefinition) {
            seen.look(view);
        }
        seen.all.clone()
    }
}

impl Seen {
    /// Reads the definitions that have changed.
    fn look(&mut self, view: &View) {
        let mut before = std::mem::take(&mut self.each);
        for record in view.list(Kind::CustomResourceDefinition, None, None) {
            let known = before.remove(&record.key.name).filter(|(revision, _)| *revision == record.revision);
            let read = || Definition::of(record.object().get::<CustomResourceDefinition>()?).map(Arc::new);
            let definition = known.map(|(_, definition)| definition).or_else(read);
            if let Some(definition) = definition {
                self.each.insert(record.key.name.clone(), (record.revision, definition));
            }
        }
        self.all = Arc::new(Definitions::of(self.each.values().map(|(_, definition)| definition.clone())));
        self.objects = view.objects(Kind::CustomResourceDefinition);
    }
}

/// In which version of its kind an object is read and written, and what is defined of the kind if a user has defined it.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    pub(crate) served: Served,
    pub(crate) definition: Option<&'a Definition>,
}

impl From<Served> for Form<'_> {
    fn from(served: Served) -> Self {
        Self { served, definition: None }
    }
}

impl From<Kind> for Form<'_> {
    fn from(kind: Kind) -> Self {
        Served::from(kind).into()
    }
}

impl<'a> Form<'a> {
    /// A version of a kind, with what is defined of the kind.
    #[must_use]
    pub fn of(served: Served, definition: Option<&'a Definition>) -> Self {
        Self { served, definition }
    }

    /// The version that is meant; `None` if the kind is one of the table.
    pub(crate) fn version(self) -> Result<Option<&'a Version>, Error> {
        let Kind::Custom(kind) = self.served.kind() else { return Ok(None) };
        let found = self.definition.and_then(|definition| match self.served {
            Served::Custom(version) => definition.named(version.info().version),
            Served::Stored(_) | Served::Converted(_) => definition.storage(),
        });
        let missing = || {
            let message = format!("the server could not find the requested resource: {kind:?} is not served any more");
            Error::new(Reason::NotFound, message)
        };
        found.map(Some).ok_or_else(missing)
    }

    /// The version in which its objects are sent and shown.
    pub(crate) fn served(self) -> Served {
        self.version().ok().flatten().map_or(self.served, Version::as_served)
    }

    /// The kind as owners of its fields see it; `None` if it is one of the table.
    pub(crate) fn kind(self) -> Option<OwnedKind<'a>> {
        Some(OwnedKind::of(self.definition?, self.served()))
    }

    /// An object as somebody who reads it sees it.
    pub(crate) fn shown(self, record: &Record) -> Result<Value, Error> {
        self.told(&record.object())
    }

    /// As [`Form::shown`], of an object that need not be stored.
    pub(crate) fn told(self, object: &Object) -> Result<Value, Error> {
        Ok(match (self.version()?, object.custom()) {
            (Some(version), Some(custom)) => json::encode(&version.shown(custom).into()),
            (Some(_), None) | (None, _) => json::encode_as(self.served, &shown::object(self.served, object)),
        })
    }

    /// An object as the version has it that is meant.
    pub(crate) fn formed<'o>(self, object: &'o Object) -> Result<Cow<'o, Object>, Error> {
        Ok(match (self.version()?, object.custom()) {
            (Some(version), Some(custom)) => Cow::Owned(version.shown(custom).into()),
            (Some(_), None) | (None, _) => Cow::Borrowed(object),
        })
    }

    /// Gives an object its defaults.
    pub(crate) fn fill(self, object: &mut Object) -> Result<(), Error> {
        defaults::apply(object);
        match (self.version()?, object.custom_mut()) {
            (Some(version), Some(custom)) => version.fill(custom),
            (Some(_), None) | (None, _) => Ok(()),
        }
    }

    /// The same where somebody looks at another version of the kind.
    pub(crate) fn in_version(self, served: Served) -> Self {
        Self { served, ..self }
    }

    /// An object without its owners.
    pub(crate) fn present(self, record: &Record) -> Result<Value, Error> {
        let Some(version) = self.version()? else {
            return Ok(match self.served {
                Served::Stored(_) => json::encode_without_owners(self.served, &record.bytes, Some(record.revision)),
                Served::Converted(_) | Served::Custom(_) => {
                    json::encode_without_owners(self.served, &self.served.encode_bytes(&record.object()), None)
                }
            });
        };
        let object = record.object();
        let shown = object.custom().map(|custom| Object::from(version.shown(custom)).encode_bytes());
        Ok(json::encode_without_owners(version.as_served(), &shown.unwrap_or_default(), None))
    }

    /// Of a manifest that is applied what counts.
    pub(crate) fn config(self, manifest: &Value) -> Result<Value, Error> {
        match self.version()? {
            Some(version) => version.config(manifest),
            None => Ok(apply::config(self.served, manifest)),
        }
    }

    /// Reads what somebody has sent.
    pub(crate) fn decode(self, value: &Value, strictness: Strictness) -> Result<Decoded, Error> {
        match self.version()? {
            Some(version) => version.read(value, strictness),
            None => json::decode(self.served, value, strictness),
        }
    }

    /// Reads what was made from a stored object.
    pub(crate) fn decode_made(self, value: &Value, strictness: Strictness) -> Result<Decoded, Error> {
        match self.version()? {
            Some(version) => version.read_made(value, strictness),
            None => json::decode_made(self.served, value, strictness),
        }
    }
}

/// Refuses definitions when the process has learnt as many names as it can keep.
pub(crate) fn has_room(write: &Write) -> Result<(), Error> {
    let is_definition = match write {
        Write::Create(object) | Write::Update(object, _) => object.kind() == Kind::CustomResourceDefinition,
        Write::Delete(..) => false,
    };
    if !is_definition || has_room_for_names() {
        return Ok(());
    }
    let message = format!(
        "this master has learnt {NAMES_MAX} names of kinds since it started, among them of kinds that are gone; restart the \
         masters one by one before you define more"
    );
    Err(Error::new(Reason::Forbidden, message))
}

impl Registry {
    /// The kinds that users have defined, as this master knows them.
    #[must_use]
    pub fn definitions(&self) -> Arc<Definitions> {
        self.inner.defined.of(&self.state())
    }

    /// As [`Registry::definitions`], as new as every definition that was acknowledged before the request.
    ///
    /// # Errors
    /// If the masters cannot agree on what is newest.
    pub async fn latest_definitions(&self) -> Result<Arc<Definitions>, Error> {
        Ok(self.inner.defined.of(&self.view(ReadAt::Latest).await?))
    }

    /// What a state has defined of a kind; `None` for kinds of the table, of which nobody has to look.
    pub(crate) fn definition(&self, view: &View, kind: Kind) -> Option<Arc<Definition>> {
        let Kind::Custom(kind) = kind else { return None };
        self.inner.defined.of(view).get(kind).cloned()
    }

    /// Reads an object that somebody has sent in a version of its kind.
    ///
    /// # Errors
    /// If it is not such an object; if strict, naming the fields that nobody knows.
    pub fn decode(&self, served: Served, value: &Value, strictness: Strictness) -> Result<Decoded, Error> {
        let definition = self.present_definition(served.kind());
        Form { served, definition: definition.as_deref() }.decode(value, strictness)
    }

    /// What came as a message and is of a kind that a user has defined: as that definition has it. All else stays as it is.
    ///
    /// # Errors
    /// If nothing of that kind is served, or as [`Registry::decode`].
    pub fn receive(&self, object: Object, strictness: Strictness) -> Result<Decoded, Error> {
        let Object::Custom(custom) = object else { return Ok(Decoded { object, unknown: Vec::new() }) };
        let definitions = self.definitions();
        let found = match definitions.from_api_version(&custom.api_version, &custom.kind) {
            Some(Served::Custom(version)) => definitions.version(version),
            Some(Served::Stored(_) | Served::Converted(_)) | None => None,
        };
        let CustomObject { api_version, kind, .. } = &*custom;
        let missing = || {
            let message = format!("no matches for kind \"{kind}\" in version \"{api_version}\"");
            Error::new(Reason::NotFound, message)
        };
        found.ok_or_else(missing)?.take(CustomObject::clone(&custom), strictness)
    }

    /// The version in which objects of a kind are kept that a user has defined.
    #[must_use]
    pub fn storage(&self, kind: Kind) -> Option<CustomVersion> {
        let Kind::Custom(_) = kind else { return None };
        self.present_definition(kind)?.storage().map(|version| version.version)
    }

    pub(crate) fn present_definition(&self, kind: Kind) -> Option<Arc<Definition>> {
        let Kind::Custom(kind) = kind else { return None };
        self.definitions().get(kind).cloned()
    }
}
