//! Objects themselves: get, list, create, update, patch, delete. Their subresources are in [`super::subresources`], watches
//! in [`super::watch`].

use api::{
    Error, Key, PatchKind, ReadAt, Reason, Subresource, Verb, Write, meta_v1,
    selector::{Fields, Labels},
};
use axum::body::Body;
use http::{Method, Response, StatusCode};
use registry::{Access, ListAt, ListPage, ListQuery, Wanted, WriteOptions, Written};

use super::{
    Asked, Rest, accept, answer,
    body::{self, Content, Media},
    path::Target,
    proxy,
    query::{ListState, State, WriteParams},
    render::{ListBody, ListMeta, View},
};

fn verb(target: &Target, asked: &Asked) -> Result<Verb, Error> {
    let one = !target.name.is_empty();
    Ok(match asked.method {
        Method::GET | Method::HEAD if target.subresource == Subresource::None && asked.query.is_watch()? => Verb::Watch,
        Method::GET | Method::HEAD if one => Verb::Get,
        Method::GET | Method::HEAD => Verb::List,
        Method::OPTIONS if target.subresource == Subresource::Proxy => Verb::Get,
        Method::POST if !one || target.subresource != Subresource::None => Verb::Create,
        Method::PUT if one => Verb::Update,
        Method::PATCH if one => Verb::Patch,
        Method::DELETE if one => Verb::Delete,
        Method::DELETE => Verb::DeleteCollection,
        _ => return Err(Error::method_not_allowed()),
    })
}

impl Target {
    /// The object that is meant.
    /// Refuses what says that it is of another object than the URL.
    pub(super) fn is_named(&self, said: &meta_v1::ObjectMeta) -> Result<(), Error> {
        for (field, said, is) in
            [("metadata.name", &said.name, &self.name), ("metadata.namespace", &said.namespace, &self.namespace)]
        {
            if !said.is_empty() && said != is {
                return Err(Error::bad_request(format!("{field}: {said:?} is not {is:?}, which the URL names")));
            }
        }
        Ok(())
    }

    pub(super) fn key(&self) -> Key {
        Key::namespaced(self.served.kind(), self.namespace.as_str(), self.name.as_str())
    }

    /// The namespace to look into; `None` for all of them.
    pub(super) fn within(&self) -> Option<String> {
        (!self.namespace.is_empty()).then(|| self.namespace.clone())
    }
}

impl Rest {
    /// Answers a request for objects of a kind.
    pub(super) async fn objects(&self, target: Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        let deprecated = target.served.info().deprecated.map(str::to_owned);
        let mut response = self.of_kind(target, asked, body).await?;
        answer::warn(&mut response, deprecated.as_slice());
        Ok(response)
    }

    async fn of_kind(&self, target: Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        let verb = verb(&target, asked)?;
        // Reads are allowed or refused where they happen. What a connection does for somebody is more than a read.
        if verb.writes() || target.subresource.is_connection() {
            let key = proxy::key(&target)?;
            self.registry.authorise(Access::to_subresource(verb, &key, target.subresource)).await?;
        }
        match (target.subresource, verb) {
            (Subresource::None | Subresource::Status | Subresource::Approval, Verb::Get) => {
                self.get(&target, asked).await
            }
            (Subresource::None, Verb::List) => self.list(&target, asked).await,
            (Subresource::None, Verb::Watch) => self.watch(&target, asked).await,
            (Subresource::None, Verb::Create) => self.create(&target, asked, body).await,
            (Subresource::None, Verb::Delete) => self.delete(&target, asked, body).await,
            (Subresource::None, Verb::DeleteCollection) => self.delete_collection(&target, asked, body).await,
            (Subresource::None | Subresource::Status | Subresource::Finalize | Subresource::Approval, Verb::Update) => {
                self.update(&target, asked, body).await
            }
            (Subresource::None | Subresource::Status | Subresource::Approval, Verb::Patch) => {
                self.patch(&target, asked, body).await
            }
            (Subresource::Scale, Verb::Get) => self.get_scale(&target, asked).await,
            (Subresource::Scale, Verb::Update) => self.update_scale(&target, asked, body).await,
            (Subresource::Scale, Verb::Patch) => self.patch_scale(&target, asked, body).await,
            (Subresource::Log, Verb::Get) => self.log(&target, asked).await,
            (Subresource::Portforward, Verb::Get | Verb::Create) => self.port_forward(&target, asked).await,
            (Subresource::Exec | Subresource::Attach, Verb::Get | Verb::Create) => self.remote(&target, asked).await,
            (Subresource::Proxy, _) => self.proxy(&target, verb, asked, body).await,
            (Subresource::Binding, Verb::Create) => self.bind(&target, asked, body).await,
            (Subresource::Eviction, Verb::Create) => self.evict(&target, asked, body).await,
            (Subresource::Token, Verb::Create) => self.create_token(&target, asked, body).await,
            _ => Err(Error::method_not_allowed()),
        }
    }

    /// The form in which the client wants objects.
    pub(super) fn view(&self, target: &Target, asked: &Asked) -> Result<View, Error> {
        let ((encoding, format), include) = (accept::format(&asked.headers, target.served)?, asked.query.include()?);
        Ok(View { served: target.served, encoding, format, include, now: self.registry.now() })
    }

    async fn get(&self, target: &Target, asked: &Asked) -> Result<Response<Body>, Error> {
        let view = self.view(target, asked)?;
        let at = read_at(asked.query.state()?);
        let object = self.registry.get_part(&target.key(), target.subresource, at).await?;
        Ok(answer::object(StatusCode::OK, &object, view))
    }

    async fn list(&self, target: &Target, asked: &Asked) -> Result<Response<Body>, Error> {
        let view = self.view(target, asked)?;
        let page = self.registry.list(list_query(target, asked, list_at(asked.query.list_state()?))?).await?;
        let meta = list_meta(&page);
        Ok(answer::list(ListBody::new(page.items, meta, view)))
    }

    async fn create(&self, target: &Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        if target.served.info().namespaced && target.namespace.is_empty() {
            return Err(Error::method_not_allowed());
        }
        let (params, view) = (asked.write()?, self.view(target, asked)?);
        let sent = body::read(&asked.headers, body).await?.object(target, params.strictness, &self.registry)?;
        let written = self.registry.submit(Write::Create(sent.object), sent_as(target, &params)).await?;
        Ok(written_answer(&written, &sent.warnings, view))
    }

    async fn update(&self, target: &Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        let (params, view) = (asked.write()?, self.view(target, asked)?);
        let sent = body::read(&asked.headers, body).await?.object(target, params.strictness, &self.registry)?;
        let written =
            self.registry.submit(Write::Update(sent.object, target.subresource), sent_as(target, &params)).await?;
        Ok(written_answer(&written, &sent.warnings, view))
    }

    async fn patch(&self, target: &Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        let (params, view) = (asked.write()?, self.view(target, asked)?);
        let content = body::read(&asked.headers, body).await?;
        if content.media.applies() {
            return self.apply(target, asked, &content).await;
        }
        forceless(&params)?;
        let (kind, patch) = (patch_kind(&content)?, content.parsed(params.strictness.noting())?);
        let written =
            self.registry.patch(&target.key(), kind, patch, target.subresource, sent_as(target, &params)).await?;
        Ok(written_answer(&written, &[], view))
    }

    /// Server-side apply. Who applies must say its name.
    async fn apply(&self, target: &Target, asked: &Asked, content: &Content) -> Result<Response<Body>, Error> {
        let (params, view) = (asked.query.write()?, self.view(target, asked)?);
        let manifest = content.manifest(target, params.strictness)?;
        let wanted = Wanted { manifest, subresource: target.subresource, force: params.force.unwrap_or_default() };
        let written = self.registry.apply_to(&target.key(), wanted, sent_as(target, &params)).await?;
        Ok(written_answer(&written, &[], view))
    }

    async fn delete(&self, target: &Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        let view = self.view(target, asked)?;
        let sent = body::read(&asked.headers, body).await?.delete_options()?;
        self.remove(target, asked, &sent, view).await
    }

    /// Deletes one object and says what is left of it.
    pub(super) async fn remove(
        &self,
        target: &Target,
        asked: &Asked,
        sent: &meta_v1::DeleteOptions,
        view: View,
    ) -> Result<Response<Body>, Error> {
        let write = Write::Delete(target.key(), asked.query.delete(sent)?);
        let written = self.registry.submit(write, WriteOptions::default()).await?;
        if !written.gone {
            return Ok(answer::object(StatusCode::OK, &written.object, view));
        }
        let last = written.object.object();
        let uid = last.metadata().map_or("", |meta| &meta.uid);
        Ok(answer::value(StatusCode::OK, view.encoding, &answer::deleted(target, uid)))
    }

    async fn delete_collection(&self, target: &Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        if target.served.info().namespaced && target.namespace.is_empty() {
            return Err(Error::method_not_allowed());
        }
        let view = self.view(target, asked)?;
        let sent = body::read(&asked.headers, body).await?.delete_options()?;
        let options = asked.query.delete(&sent)?;
        let page = self.registry.delete_all(&list_query(target, asked, ReadAt::Latest.into())?, &options).await?;
        let meta = list_meta(&page);
        Ok(answer::list(ListBody::new(page.items, meta, view)))
    }
}

/// How the Registry calls the state that a list is to be of.
fn list_at(state: ListState) -> ListAt {
    match state {
        ListState::Of(state) => ListAt::Fresh(read_at(state)),
        ListState::Exactly(revision) => ListAt::Exactly(revision),
    }
}

/// How the Registry calls the state that a reader wants.
pub(super) fn read_at(state: State) -> ReadAt {
    match state {
        State::Latest => ReadAt::Latest,
        State::Any => ReadAt::Any,
        State::NotOlderThan(revision) => ReadAt::NotOlderThan(revision),
    }
}

/// The selectors of a request. A name in the path selects that object alone.
pub(super) fn selectors(target: &Target, asked: &Asked) -> Result<(Labels, Fields), Error> {
    let labels = Labels::parse(asked.query.text("labelSelector"))?;
    let (name, sent) = (target.name.as_str(), asked.query.text("fieldSelector"));
    let fields = Fields::parse(target.served, sent)?;
    if name.is_empty() {
        return Ok((labels, fields));
    }
    if fields.required("metadata.name").is_some_and(|other| other != name) {
        return Err(Error::bad_request("fieldSelector metadata.name doesn't match requested name"));
    }
    let separator = if sent.is_empty() { "" } else { "," };
    Ok((labels, Fields::parse(target.served, &format!("metadata.name={name}{separator}{sent}"))?))
}

fn list_query(target: &Target, asked: &Asked, at: ListAt) -> Result<ListQuery, Error> {
    let (labels, fields) = selectors(target, asked)?;
    let limit = asked.query.count("limit")?.filter(|limit| *limit > 0);
    let continue_ = Some(asked.query.text("continue").to_owned()).filter(|token| !token.is_empty());
    Ok(ListQuery {
        kind: target.served.kind(),
        namespace: target.within(),
        labels,
        fields,
        limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        continue_,
        at,
    })
}

fn list_meta(page: &ListPage) -> ListMeta {
    ListMeta {
        revision: page.revision.to_string(),
        continue_: page.continue_.clone().unwrap_or_default(),
        remaining: page.remaining,
    }
}

/// The Registry's form of the parameters of a write.
pub(super) fn options(params: &WriteParams) -> WriteOptions {
    WriteOptions {
        dry_run: params.dry_run,
        field_manager: params.field_manager.clone(),
        field_validation: params.strictness,
        ..WriteOptions::default()
    }
}

/// As [`options`], for an object that is sent in the version of the URL.
pub(super) fn sent_as(target: &Target, params: &WriteParams) -> WriteOptions {
    options(params).sent_as(target.served)
}

/// Only who applies can take fields over.
pub(super) fn forceless(params: &WriteParams) -> Result<(), Error> {
    if params.force.is_none() {
        return Ok(());
    }
    let message =
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch";
    Err(Error::new(Reason::Invalid, message))
}

/// The patch that a body's type announces.
pub(super) fn patch_kind(content: &Content) -> Result<PatchKind, Error> {
    match content.media {
        Media::JsonPatch => Ok(PatchKind::Json),
        Media::MergePatch => Ok(PatchKind::Merge),
        Media::StrategicPatch => Ok(PatchKind::Strategic),
        Media::Json | Media::Yaml | Media::Cbor | Media::Protobuf | Media::ApplyYaml | Media::ApplyCbor => {
            Err(Error::new(
                Reason::UnsupportedMediaType,
                "a patch is sent as application/json-patch+json, application/merge-patch+json, \
             application/strategic-merge-patch+json or application/apply-patch+yaml",
            ))
        }
    }
}

fn written_answer(written: &Written, warnings: &[String], view: View) -> Response<Body> {
    let code = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = answer::object(code, &written.object, view);
    answer::warn(&mut response, warnings);
    answer::warn(&mut response, &written.warnings);
    response
}
