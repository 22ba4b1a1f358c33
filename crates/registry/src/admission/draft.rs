//! An object while others change it.

use api::{
    Error, Object, Reason, Served, Subresource, core_v1,
    json::{self, Strictness},
    kinds::Resource as _,
};
use prost::Message;
use serde_json::Value;

use super::review::{Matter, Stands};
use crate::decide::OBJECT_BYTES_MAX;

/// The object as it is wished, after defaults; nothing if a write has none.
pub(super) struct Draft {
    object: Option<Object>,
}

impl Draft {
    pub(super) fn new(object: Option<Object>) -> Self {
        Self { object }
    }

    pub(super) fn object(&self) -> Option<&Object> {
        self.object.as_ref()
    }

    pub(super) fn into_object(self) -> Option<Object> {
        self.object
    }

    /// Takes what somebody made of the object. Answers whether that is something else, and what of it nobody knows.
    ///
    /// # Errors
    /// If it is no such object, another one, or too large.
    pub(super) fn replace(
        &mut self,
        matter: &Matter<'_>,
        found: Served,
        value: &Value,
    ) -> Result<(bool, Vec<String>), Error> {
        let Some(old) = &self.object else { return Ok((false, Vec::new())) };
        let form = matter.form.in_version(found);
        let (mut new, unknown) = match matter.stands {
            Stands::Whole => {
                let decoded = form.decode_made(value, Strictness::Warn)?;
                (matter.form.formed(&decoded.object)?.into_owned(), decoded.unknown)
            }
            Stands::Scale => (scaled(old, value)?, Vec::new()),
            Stands::Binding => {
                is_named(matter, value)?;
                let (binding, unknown) = read::<core_v1::Binding>(matter, value)?;
                (bound(old, binding), unknown)
            }
            // Of these no object is changed, but what is asked.
            Stands::Eviction | Stands::Question => return Ok((false, Vec::new())),
        };
        // Who owns what is not theirs to say.
        new.metadata_mut().managed_fields = old.metadata().map(|meta| meta.managed_fields.clone()).unwrap_or_default();
        if new.key().namespace != old.key().namespace {
            let message = "the namespace of the object does not match the namespace on the request";
            return Err(Error::bad_request(message).about(&old.key()));
        }
        if matter.subresource == Subresource::None.word() {
            matter.form.fill(&mut new)?;
        }
        let bytes = new.encode_bytes().len();
        if bytes > OBJECT_BYTES_MAX {
            let message = format!("the object would have {bytes} bytes, more than the limit of {OBJECT_BYTES_MAX}");
            return Err(Error::new(Reason::RequestEntityTooLarge, message).about(&old.key()));
        }
        let changed = new != *old;
        self.object = Some(new);
        Ok((changed, unknown))
    }
}

fn scaled(old: &Object, value: &Value) -> Result<Object, Error> {
    let replicas = value["spec"]["replicas"].as_i64().unwrap_or_default();
    let replicas = i32::try_from(replicas);
    let replicas = replicas.map_err(|_| Error::bad_request("spec.replicas: does not fit into 32 bits"))?;
    let mut new = old.clone();
    new.set_replicas(replicas);
    Ok(new)
}

/// The Pod as it is to be bound: to which node, and with what else beside all that it has.
fn bound(old: &Object, core_v1::Binding { metadata, target }: core_v1::Binding) -> Object {
    let Object::Pod(pod) = old else { return old.clone() };
    let mut pod = pod.clone();
    pod.spec.get_or_insert_default().node_name = target.unwrap_or_default().name;
    let (said, metadata) = (metadata.unwrap_or_default(), pod.metadata_mut());
    (metadata.labels, metadata.annotations) = (said.labels, said.annotations);
    Object::Pod(pod)
}

/// Refuses what somebody made that is of another object than the request.
pub(super) fn is_named(matter: &Matter<'_>, value: &Value) -> Result<(), Error> {
    let is = |field: &str, own: &str| value["metadata"][field].as_str().unwrap_or_default() == own;
    if is("name", &matter.key.name) && is("namespace", &matter.key.namespace) {
        return Ok(());
    }
    let why = "the name and namespace of what is asked about must be those of the request";
    Err(Error::bad_request(why).about(&matter.key))
}

/// What stands for an object, as somebody has made it, and what of it nobody knows.
///
/// # Errors
/// If it is no such message.
pub(super) fn read<M: Message + Default>(matter: &Matter<'_>, value: &Value) -> Result<(M, Vec<String>), Error> {
    let Some(message) = matter.message() else {
        let why = "how somebody is to be connected cannot be changed, only refused";
        return Err(Error::bad_request(why).about(&matter.key));
    };
    let (bytes, unknown) = json::decode_made_message(message, value, Strictness::Warn)?;
    Ok((M::decode(bytes).map_err(Error::internal)?, unknown))
}
