//! An object while others change it.

use api::{Error, Object, Reason, Served, Subresource, json::Strictness};
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

    /// The object as it is told; `null` if there is none.
    pub(super) fn shown(&self, matter: &Matter<'_>, found: Served) -> Value {
        self.object.as_ref().map_or(Value::Null, |object| matter.shown(object, found))
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
            Stands::Binding => (bound(old, value), Vec::new()),
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

fn bound(old: &Object, value: &Value) -> Object {
    let Object::Pod(pod) = old else { return old.clone() };
    let mut pod = pod.clone();
    let node = value["target"]["name"].as_str().unwrap_or_default();
    node.clone_into(&mut pod.spec.get_or_insert_default().node_name);
    Object::Pod(pod)
}
