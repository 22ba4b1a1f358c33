//! New objects.

use std::sync::Arc;

use api::{
    Error, Key, Kind, Object, Reason, Subresource,
    core_v1::Pod,
    defaults,
    error::Cause,
    meta_v1,
    pod::{self, amounts},
    resources, validate, warnings,
};
use store::{Expect, Txn};

use super::{Decider, Decision, Fate, Stamp, forbidden, put, valid};

/// Characters of a generated name's ending. No vowels, so that no words arise; none that are mistaken for another.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// How many characters are generated, as in Kubernetes.
const SUFFIX_LENGTH: usize = 5;

/// How much of `generateName` is kept, in bytes: with the suffix the name still is a DNS label.
const STEM_BYTES_MAX: usize = 63 - SUFFIX_LENGTH;

impl Decider<'_> {
    pub(super) fn create(&self, sent: &Object) -> Result<Decision, Error> {
        let mut object = self.begun(sent)?;
        let key = object.key();
        object.prepare_for_create();
        defaults::apply(&mut object);
        self.fill(&mut object)?;
        self.take_from_others(&key, &mut object)?;
        let mut causes = validate::create_as(self.sent.form.served, &object);
        causes.extend(self.judged(None, &object)?);
        valid(&key, causes)?;
        self.keep_limits(&key, &object)?;
        finds_devices(&key, &object)?;
        let only_default = self.only_default(&key, &object)?;
        let claims = self.allocate(&key, None, &mut object)?;
        if self.view.get(&key).is_some() {
            return Err(Error::already_exists(&key));
        }
        self.own_new(&mut object);
        let mut ops = vec![put(&key, &mut object, Expect::Absent)?];
        ops.extend(claims);
        ops.extend(only_default);
        let warnings = warnings::of(&object);
        Ok(Decision { txn: Txn { ops }, object: Arc::new(object), fate: Fate::Created, warnings })
    }

    /// A new object as those see it who may change it before it is decided.
    pub(super) fn draft_new(&self, sent: &Object) -> Result<Object, Error> {
        let mut object = self.begun(sent)?;
        defaults::apply(&mut object);
        self.fill(&mut object)?;
        self.take_from_others(&object.key(), &mut object)?;
        Ok(object)
    }

    /// Gives a new Pod what other objects say of it.
    fn take_from_others(&self, key: &Key, object: &mut Object) -> Result<(), Error> {
        self.take_limits(key, object);
        self.take_account(key, object)?;
        self.take_priority(key, object)?;
        if let Object::Pod(pod) = object {
            let class = pod.spec.as_ref().map_or("", pod::qos_class);
            class.clone_into(&mut pod.status.get_or_insert_default().qos_class);
        }
        Ok(())
    }

    /// A new object with its name and what nobody else may say of it.
    fn begun(&self, sent: &Object) -> Result<Object, Error> {
        let mut object = sent.clone();
        check_namespace(&object)?;
        self.name(object.metadata_mut());
        self.namespace_takes(&object.key())?;
        self.fresh_metadata(&mut object);
        self.is_open()?;
        Ok(object)
    }

    fn name(&self, metadata: &mut meta_v1::ObjectMeta) {
        if metadata.name.is_empty() && !metadata.generate_name.is_empty() {
            metadata.name = generated(&metadata.generate_name, self.stamp);
        }
    }

    /// New objects need a namespace that is there to stay.
    fn namespace_takes(&self, key: &Key) -> Result<(), Error> {
        if !key.kind.info().namespaced {
            return Ok(());
        }
        let namespace = Key::cluster(Kind::Namespace, key.namespace.clone());
        let record = self.existing(&namespace)?;
        let ending = record.object().metadata().is_some_and(|meta| meta.deletion_timestamp.is_some());
        if !ending {
            return Ok(());
        }
        let name = &key.namespace;
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let message = format!("namespace {name} is being terminated");
        let cause = Cause { reason: "NamespaceTerminating", field: "metadata.namespace".to_owned(), message };
        Err(Error { causes: vec![cause], ..forbidden(key, why) })
    }

    /// New objects need a definition that is there to stay, if a user has defined what they are.
    fn is_open(&self) -> Result<(), Error> {
        if self.sent.form.definition.is_some_and(|definition| definition.is_ending) {
            let message = "create not allowed while custom resource definition is terminating";
            return Err(Error::new(Reason::MethodNotAllowed, message));
        }
        Ok(())
    }

    /// What nobody but the API server may say of an object.
    fn fresh_metadata(&self, object: &mut Object) {
        let generation = i64::from(object.is_new_generation(None, Subresource::None));
        let metadata = object.metadata_mut();
        metadata.uid.clone_from(&self.stamp.uid);
        metadata.creation_timestamp = Some(self.stamp.now.into());
        metadata.generation = generation;
        metadata.deletion_timestamp = None;
        metadata.deletion_grace_period_seconds = None;
        metadata.self_link.clear();
        metadata.resource_version.clear();
    }
}

/// Only the scheduler knows which node has what others than Kubernetes have named, such as a device. A Pod that names its node
/// itself would start without.
fn finds_devices(key: &Key, object: &Object) -> Result<(), Error> {
    let Some(spec) = object.get::<Pod>().and_then(|pod| pod.spec.as_ref()) else { return Ok(()) };
    let requests = amounts::requests(spec);
    let Some(name) = requests.keys().find(|name| resources::is_extended(name)) else { return Ok(()) };
    if spec.node_name.is_empty() {
        return Ok(());
    }
    let why = format_args!(
        "spec.nodeName: the scheduler finds a node that has {name}; remove the field, and name the node in spec.nodeSelector"
    );
    Err(forbidden(key, why))
}

/// A name with a generated ending; empty if there is no beginning.
pub(super) fn generated(stem: &str, stamp: &Stamp) -> String {
    if stem.is_empty() {
        return String::new();
    }
    let stem = &stem[..stem.floor_char_boundary(STEM_BYTES_MAX)];
    format!("{stem}{}", suffix(stamp.random))
}

/// A namespace where the kind lives in one, none where it does not, and no revision: that is given here.
fn check_namespace(object: &Object) -> Result<(), Error> {
    let key = object.key();
    let metadata = object.metadata();
    if key.kind.info().namespaced && key.namespace.is_empty() {
        return Err(Error::bad_request(format!("metadata.namespace: a {} lives in a namespace; name it", key.kind)));
    }
    if !key.kind.info().namespaced && !key.namespace.is_empty() {
        let message = format!("metadata.namespace: a {} lives in no namespace; remove the field", key.kind);
        return Err(Error::bad_request(message));
    }
    if metadata.is_some_and(|meta| !matches!(meta.resource_version.as_str(), "" | "0")) {
        let message = "resourceVersion should not be set on objects to be created; remove metadata.resourceVersion";
        return Err(Error::new(Reason::BadRequest, message).about(&key));
    }
    Ok(())
}

/// The ending of a generated name.
fn suffix(mut random: u64) -> String {
    let base = ALPHABET.len() as u64;
    let mut next = || {
        let digit = random % base;
        random /= base;
        ALPHABET.get(usize::try_from(digit).unwrap_or_default()).map_or('x', |byte| char::from(*byte))
    };
    (0..SUFFIX_LENGTH).map(|_| next()).collect()
}
