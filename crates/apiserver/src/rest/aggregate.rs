//! Versions of the API that backends serve, as APIServices say: requests for them go on, and what they offer is listed with the
//! rest.
//!
//! A [`backend`] is reached behind its Service, over the agent of a node, and is told who asks. What it offers is asked for again
//! and again ([`keep`](Aggregator::keep)), which shows whether it answers: the controllers say so on the APIService. What it said
//! last is kept, and [`listing`] shows it, while it does not answer.

mod backend;
mod listing;
mod named;
pub(crate) mod offered;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use api::{
    ChangeType, Error, Kind, Served,
    apiregistration_v1::{ApiService, ApiServiceSpec},
    kinds::apiregistration::api_service::is_built_in,
    reviews,
};
use arc_swap::ArcSwap;
use axum::body::Body;
use futures::StreamExt as _;
use http::Response;
use registry::{Access, Caller, Registry};
use rpc::identity::{Authority, FrontProxy};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Asked, Rest,
    accept::{self, OpenApi},
    answer,
};
use backend::Backend;
pub(super) use listing::{Listing, Said};
use named::Named;

/// The most backends that a master asks: what each offers is kept in memory.
pub const BACKENDS_MAX: usize = 64;

/// How often a backend is asked what it offers.
const REFRESH_EVERY: Duration = Duration::from_secs(10);

/// How often one is asked that did not answer.
const RETRY_EVERY: Duration = Duration::from_secs(2);

/// How backends answer, each by the name of its APIService: well, or why not.
pub type Answers = BTreeMap<String, Result<(), String>>;

/// The backends of the API. Cloning shares them.
#[derive(Clone)]
pub struct Aggregator(Arc<Inner>);

struct Inner {
    /// For this process itself.
    registry: Registry,
    front: Arc<FrontProxy>,
    groups: ArcSwap<Groups>,
    answers: watch::Sender<Answers>,
}

/// Backends by group and version.
type Groups = BTreeMap<String, BTreeMap<String, Arc<Backend>>>;

/// A backend that is asked again and again until this is dropped.
struct Kept {
    backend: Arc<Backend>,
    _task: AbortOnDropHandle<()>,
}

/// What of a path is not the masters' own.
pub(super) enum Place {
    /// `/apis/GROUP`, of a group that only backends serve.
    Group(Value),
    /// `/openapi/v3/apis/GROUP/VERSION`.
    Document(Arc<Backend>),
    /// `/apis/GROUP/VERSION` and everything below it.
    Backend(Arc<Backend>),
}

impl Aggregator {
    /// The backends of a Registry, none as long as nobody [follows](Self::follow) the APIServices. To them a master proves itself
    /// by the cluster's authority.
    #[must_use]
    pub fn new(registry: &Registry, authority: Arc<Authority>) -> Self {
        Self(Arc::new(Inner {
            registry: registry.for_caller(Caller::Cluster),
            front: FrontProxy::new(authority),
            groups: ArcSwap::default(),
            answers: watch::Sender::default(),
        }))
    }

    /// How the backends answer that were asked.
    #[must_use]
    pub fn answers(&self) -> watch::Receiver<Answers> {
        self.0.answers.subscribe()
    }

    /// Follows the APIServices until the process stops.
    pub(crate) async fn follow(self) {
        let mut feed = Box::pin(self.0.registry.feed(&[Kind::ApiService]));
        let (mut wanted, mut kept) = (BTreeMap::new(), BTreeMap::new());
        while let Some(changes) = feed.next().await {
            for change in changes {
                let object = change.object.decoded();
                let spec = object.get::<ApiService>().and_then(|found| found.spec.clone()).filter(is_of_a_backend);
                let name = object.metadata().map(|meta| meta.name.clone()).unwrap_or_default();
                match (change.change, spec) {
                    (ChangeType::Added | ChangeType::Modified, Some(spec)) => _ = wanted.insert(name, spec),
                    (ChangeType::Added | ChangeType::Modified, None) | (ChangeType::Deleted, _) => {
                        wanted.remove(&name);
                    }
                }
            }
            self.settle(&wanted, &mut kept);
        }
    }

    /// Begins with backends that are new, and ends with those that are not wanted as they are.
    fn settle(&self, wanted: &BTreeMap<String, ApiServiceSpec>, kept: &mut BTreeMap<String, Kept>) {
        let served: BTreeMap<&String, &ApiServiceSpec> = wanted.iter().take(BACKENDS_MAX).collect();
        kept.retain(|name, kept| served.get(name) == Some(&&kept.backend.spec));
        let why = || Err(format!("there are more than {BACKENDS_MAX} APIServices with backends; delete some"));
        let untold = wanted.keys().skip(BACKENDS_MAX).map(|name| (name.clone(), why()));
        self.0.answers.send_modify(|answers| {
            answers.retain(|name, _| kept.contains_key(name));
            answers.extend(untold);
        });
        for (name, spec) in served {
            kept.entry(name.clone()).or_insert_with(|| {
                let backend = Arc::new(Backend::new(name.clone(), spec.clone(), &self.0.front));
                let task = tokio::spawn(self.clone().keep(backend.clone()));
                Kept { backend, _task: AbortOnDropHandle::new(task) }
            });
        }
        let mut groups = Groups::new();
        for Kept { backend, .. } in kept.values() {
            let versions = groups.entry(backend.spec.group.clone()).or_default();
            versions.insert(backend.spec.version.clone(), backend.clone());
        }
        self.0.groups.store(Arc::new(groups));
    }

    /// Asks a backend again and again what it offers.
    async fn keep(self, backend: Arc<Backend>) {
        loop {
            let outcome = backend.refresh(&self.0.registry).await;
            let wait = if outcome.is_ok() { REFRESH_EVERY } else { RETRY_EVERY };
            self.0.answers.send_if_modified(|answers| {
                let is_news = answers.get(&backend.name) != Some(&outcome);
                if is_news {
                    answers.insert(backend.name.clone(), outcome);
                }
                is_news
            });
            tokio::time::sleep(wait).await;
        }
    }

    /// Whose a path is, if it is not the masters' own.
    pub(super) fn place(&self, path: &str) -> Option<Place> {
        let (is_document, rest) = match path.strip_prefix("/apis/") {
            Some(rest) => (false, rest),
            None => (true, path.strip_prefix("/openapi/v3/apis/")?),
        };
        let groups = self.0.groups.load();
        let mut segments = rest.split('/');
        let (group, version, deeper) = (segments.next()?, segments.next().unwrap_or_default(), segments.next());
        let versions = groups.get(group)?;
        match (versions.get(version), version.is_empty()) {
            (Some(backend), _) if is_document => deeper.is_none().then(|| Place::Document(backend.clone())),
            (Some(backend), _) => Some(Place::Backend(backend.clone())),
            (None, true) if !is_document && deeper.is_none() && !self.has_own(group) => {
                Some(Place::Group(listing::group(group, versions)))
            }
            (None, _) => None,
        }
    }

    /// Whether masters serve versions of a group themselves, defined by users or not.
    fn has_own(&self, group: &str) -> bool {
        let defined = self.0.registry.definitions();
        reviews::served().chain(defined.served().map(Served::info)).any(|info| info.group == group)
    }

    /// The groups as they are now.
    pub(super) fn listing(&self) -> Listing {
        Listing(self.0.groups.load_full())
    }
}

/// Whether somebody else than the masters is to serve a version. What the masters serve stays theirs, whatever an APIService
/// says that was stored before they did.
fn is_of_a_backend(spec: &ApiServiceSpec) -> bool {
    spec.service.is_some() && !is_built_in(&spec.group, &spec.version)
}

impl Rest {
    /// Answers what is not the masters' own.
    pub(super) async fn elsewhere(&self, place: Place, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        match place {
            Place::Group(group) => {
                super::only(&asked.method, &http::Method::GET)?;
                answer::legacy(&group, &asked.headers)
            }
            Place::Document(backend) => {
                super::only(&asked.method, &http::Method::GET)?;
                // It is kept as the backend wrote it.
                accept::openapi(&asked.headers, OpenApi::V3)?;
                let document = backend.document().ok_or_else(|| super::missing::error(asked.uri.path()))?;
                Ok(answer::document(answer::JSON, document.bytes, &asked.headers))
            }
            Place::Backend(backend) => {
                if let Some(named) = Named::read(&asked.method, &asked.uri)? {
                    self.registry.authorise(Access::Resource(named.attributes())).await?;
                }
                let myself = self.registry.for_caller(Caller::Cluster);
                backend.pass(&myself, self.registry.caller(), asked, body).await
            }
        }
    }
}
