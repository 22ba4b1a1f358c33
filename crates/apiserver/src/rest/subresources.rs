//! Subresources whose type is another than the object's: `scale`, `log`, `binding`, `eviction`.

use api::{
    Error, Object, PatchKind, ReadAt, Reason, Subresource, Timestamp, Write, autoscaling_v1, core_v1,
    json::{self, Parsed, Strictness},
    kinds::Resource as _,
    meta_v1, patch, policy_v1,
};
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, future::ready, stream};
use http::{Response, StatusCode};
use prost::Message as _;
use registry::{Caller, Found, Wanted, WriteOptions};
use rpc::services::LogRequest;
use serde_json::{Value, json};

use super::{
    Asked, Rest, answer,
    body::{self, Content},
    objects::{forceless, options, patch_kind, read_at, sent_as},
    path::Target,
    query::WriteParams,
    render,
};
use crate::{
    upgrade,
    websocket::{
        feed::{self, Form},
        handshake,
    },
};

const SCALE: &str = "kapelle.autoscaling.v1.Scale";
const BINDING: &str = "kapelle.core.v1.Binding";
const EVICTION: &str = "kapelle.policy.v1.Eviction";

/// In which version clients know it.
const SCALE_VERSION: &str = "autoscaling/v1";

/// How often a patch of `scale` without a resourceVersion is computed anew when another writer was faster.
const SCALE_ATTEMPTS_MAX: usize = 8;

impl Rest {
    pub(super) async fn get_scale(&self, target: &Target, asked: &Asked) -> Result<Response<Body>, Error> {
        let object = self.registry.get_part(&target.key(), Subresource::Scale, read_at(asked.query.state()?)).await?;
        let object = object.object_as(target.served);
        Ok(answer::value(StatusCode::OK, asked.encoding(), &scale_value(&scale(&object)?)))
    }

    pub(super) async fn update_scale(
        &self,
        target: &Target,
        asked: &Asked,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        let params = asked.write()?;
        let content = body::read(&asked.headers, body).await?;
        let (wanted, warnings) = content.message::<autoscaling_v1::Scale>(SCALE, params.strictness)?;
        let current = self.present(target).await?;
        let scale = self.rescale(target, &current.object_as(target.served), wanted, &params).await?;
        Ok(scale_answer(asked, &scale, &warnings))
    }

    /// A patch without a resourceVersion is about `replicas` alone, so another writer in between is no conflict.
    pub(super) async fn patch_scale(
        &self,
        target: &Target,
        asked: &Asked,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        let params = asked.write()?;
        let content = body::read(&asked.headers, body).await?;
        if content.media.applies() {
            return self.apply_scale(target, asked, &content).await;
        }
        forceless(&params)?;
        let (kind, Parsed { value: patch, duplicates }) =
            (patch_kind(&content)?, content.parsed(params.strictness.noting())?);
        let mut attempt = 1;
        loop {
            let current = self.present(target).await?.object_as(target.served);
            let (wanted, unknown) = patched_scale(&current, kind, &patch, params.strictness.noting())?;
            let faults = params.strictness.judge([duplicates.clone(), unknown].concat())?;
            let locked = locks(kind, &patch);
            match self.rescale(target, &current, wanted, &params).await {
                Err(error) if error.reason == Reason::Conflict && !locked && attempt < SCALE_ATTEMPTS_MAX => {
                    attempt += 1
                }
                outcome => return Ok(scale_answer(asked, &outcome?, &faults)),
            }
        }
    }

    /// The object, for somebody who may change how many replicas it has, and need not be allowed to read it.
    async fn present(&self, target: &Target) -> Result<Found, Error> {
        self.registry.for_caller(Caller::Cluster).get(&target.key(), ReadAt::Latest).await
    }

    /// What is applied is a `Scale`. Who owns how many replicas there should be is told in the words of the object itself.
    async fn apply_scale(&self, target: &Target, asked: &Asked, content: &Content) -> Result<Response<Body>, Error> {
        let params = asked.query.write()?;
        let Parsed { value: sent, duplicates } =
            content.manifest_of((SCALE_VERSION, "Scale"), target, params.strictness)?;
        let (_, unknown) = json::decode_message(SCALE, &sent, params.strictness.noting())?;
        let faults = params.strictness.judge([duplicates, unknown].concat())?;
        let info = target.served.info();
        let mut manifest = json!({ "apiVersion": info.api_version(), "kind": info.kind });
        manifest["metadata"] = sent["metadata"].clone();
        if let Some(replicas) = sent["spec"].get("replicas") {
            target.served.replicas_at().set(&mut manifest, replicas.clone());
        }
        let force = params.force.unwrap_or_default();
        let wanted = Wanted { manifest: manifest.into(), subresource: Subresource::Scale, force };
        let written = self.registry.apply_to(&target.key(), wanted, sent_as(target, &params)).await?;
        Ok(scale_answer(asked, &scale_value(&scale(&written.object.object_as(target.served))?), &faults))
    }

    async fn rescale(
        &self,
        target: &Target,
        current: &Object,
        wanted: autoscaling_v1::Scale,
        params: &WriteParams,
    ) -> Result<Value, Error> {
        let mut object = current.clone();
        let metadata = wanted.metadata.unwrap_or_default();
        object.metadata_mut().resource_version = metadata.resource_version;
        object.set_replicas(wanted.spec.unwrap_or_default().replicas);
        let write = Write::Update(object, Subresource::Scale);
        let written = self.registry.submit(write, sent_as(target, params)).await?;
        Ok(scale_value(&scale(&written.object.object_as(target.served))?))
    }

    pub(super) async fn log(&self, target: &Target, asked: &Asked) -> Result<Response<Body>, Error> {
        let socket = handshake::is_asked(&asked.headers).then(|| handshake::accept(&asked.headers, &feed::PROTOCOLS));
        let socket = socket.transpose()?;
        let chunks = self.registry.log(log_request(target, asked)?).await?;
        // Who reads a log as text must be told in it why it breaks off.
        let bytes = chunks.flat_map(|chunk| {
            stream::iter(match chunk {
                Ok(chunk) => vec![Ok(chunk.data)],
                Err(error) => vec![Ok(format!("{error}\n").into()), Err(error)],
            })
        });
        Ok(match socket {
            None => answer::stream(StatusCode::OK, "text/plain", Body::from_stream(bytes)),
            Some((form, response)) => {
                // As Kubernetes does, an empty message says that the log is open.
                let pieces = stream::iter([Bytes::new()]).chain(bytes.filter_map(|bytes| ready(bytes.ok())));
                let messages = pieces.map(|piece| vec![piece]);
                upgrade::then(response, move |bytes| feed::feed(bytes, messages, form.unwrap_or(Form::Binary)))
            }
        })
    }

    pub(super) async fn bind(&self, target: &Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        let params = asked.write()?;
        let content = body::read(&asked.headers, body).await?;
        let (binding, warnings) = content.message::<core_v1::Binding>(BINDING, params.strictness)?;
        let to = binding.target.unwrap_or_default();
        if !matches!(to.kind.as_str(), "" | "Node") {
            return Err(Error::bad_request(format!(
                "target.kind: Pods are bound to a \"Node\", not to a {:?}",
                to.kind
            )));
        }
        let node = Some(to.name).filter(|name| !name.is_empty());
        let node = node.ok_or_else(|| Error::bad_request("target.name: name the node to bind the Pod to"))?;
        let metadata = binding.metadata.unwrap_or_default();
        target.is_named(&metadata)?;
        let mut pod = core_v1::Pod::default();
        let meta = pod.metadata_mut();
        (meta.name, meta.namespace, meta.uid) = (target.name.clone(), target.namespace.clone(), metadata.uid);
        meta.resource_version = metadata.resource_version;
        (meta.labels, meta.annotations) = (metadata.labels, metadata.annotations);
        pod.spec.get_or_insert_default().node_name = node;
        self.registry.submit(Write::Update(pod.into(), Subresource::Binding), options(&params)).await?;
        let mut response = answer::success(StatusCode::CREATED, asked.encoding());
        answer::warn(&mut response, &warnings);
        Ok(response)
    }

    /// Without disruption budgets, evicting a Pod is deleting it.
    pub(super) async fn evict(&self, target: &Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        let content = body::read(&asked.headers, body).await?;
        let strictness = asked.query.write()?.strictness;
        let (eviction, warnings) = content.message::<policy_v1::Eviction>(EVICTION, strictness)?;
        eviction.metadata.iter().try_for_each(|meta| target.is_named(meta))?;
        let write = Write::Delete(target.key(), asked.query.delete(&eviction.delete_options.unwrap_or_default())?);
        let options = WriteOptions { through: Subresource::Eviction, ..WriteOptions::default() };
        self.registry.submit(write, options).await?;
        let mut response = answer::success(StatusCode::CREATED, asked.encoding());
        answer::warn(&mut response, &warnings);
        Ok(response)
    }
}

/// The scale of an object, as clients of `autoscaling/v1` read it.
fn scale(object: &Object) -> Result<autoscaling_v1::Scale, Error> {
    object.as_scale().ok_or_else(|| Error::bad_request(format!("a {} has no scale", object.kind())))
}

fn scale_value(scale: &autoscaling_v1::Scale) -> Value {
    let mut value = render::message(SCALE, scale);
    value["kind"] = "Scale".into();
    value["apiVersion"] = SCALE_VERSION.into();
    value
}

fn scale_answer(asked: &Asked, scale: &Value, warnings: &[String]) -> Response<Body> {
    let mut response = answer::value(StatusCode::OK, asked.encoding(), scale);
    answer::warn(&mut response, warnings);
    response
}

/// The scale that a patch makes, and the fields of it that nobody knows.
fn patched_scale(
    current: &Object,
    kind: PatchKind,
    patch: &Value,
    strictness: Strictness,
) -> Result<(autoscaling_v1::Scale, Vec<String>), Error> {
    let mut value = scale_value(&scale(current)?);
    match kind {
        PatchKind::Json => patch::json(&mut value, patch)?,
        PatchKind::Merge => patch::merge(&mut value, patch),
        PatchKind::Strategic => patch::strategic(SCALE, &mut value, patch)?,
    }
    let (bytes, unknown) = json::decode_made_message(SCALE, &value, strictness)?;
    Ok((autoscaling_v1::Scale::decode(bytes).map_err(Error::internal)?, unknown))
}

/// Whether a patch says which state of the object it is meant for.
fn locks(kind: PatchKind, patch: &Value) -> bool {
    match kind {
        PatchKind::Json => patch.to_string().contains("/metadata/resourceVersion"),
        PatchKind::Merge | PatchKind::Strategic => patch["metadata"]["resourceVersion"].is_string(),
    }
}

fn log_request(target: &Target, asked: &Asked) -> Result<LogRequest, Error> {
    let query = &asked.query;
    let count = |name| Ok::<_, Error>(query.count(name)?.map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
    let since_time = match query.text("sinceTime") {
        "" => None,
        text => Some(text.parse::<Timestamp>().map_err(|error| Error::bad_request(format!("sinceTime: {error}")))?),
    };
    Ok(LogRequest {
        namespace: target.namespace.clone(),
        pod: target.name.clone(),
        container: query.text("container").to_owned(),
        follow: query.flag("follow")?,
        previous: query.flag("previous")?,
        tail_lines: count("tailLines")?,
        since_seconds: count("sinceSeconds")?,
        since_time: since_time.map(meta_v1::Time::from),
        timestamps: query.flag("timestamps")?,
        limit_bytes: count("limitBytes")?,
    })
}
