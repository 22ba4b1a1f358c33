//! Whether a Pod may run an image of the masters' registry: asked when its node wants the image, whoever brought it there.
//!
//! A Pod may if its account may read the repository, or if one of its `imagePullSecrets` holds the token of somebody who may. The
//! node is given only what its own Pods run.

use std::sync::Arc;

use api::{
    Error, Key, Kind, Object, ReadAt, Reason, Verb,
    core_v1::{Pod, PodSpec, Secret},
    docker_config, pod,
};
use store::View;

use super::claims::user_of;
use crate::{
    Registry,
    access::{Access, Caller},
    nodes::is_on,
};

/// The most logins of one Secret that are tried.
const LOGINS_MAX: usize = 32;

/// A Pod for which a node asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puller {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Registry {
    /// Allows the caller to read an image of a repository: a node for one of its Pods that may run it, others for themselves.
    ///
    /// # Errors
    /// If it may not, or if the masters cannot agree on what is newest.
    pub async fn may_pull(&self, puller: Option<&Puller>, repository: &str) -> Result<(), Error> {
        let asked = Access::Images(Verb::Get, repository);
        self.authorise(asked).await?;
        let Caller::Node { name: node, .. } = self.caller() else { return Ok(()) };
        let puller = puller.ok_or_else(|| forbidden(repository, "a node says for which of its Pods it asks"))?;
        if self.may_run(&self.state(), node, puller, repository).is_ok() {
            return Ok(());
        }
        // This master may not have heard yet of a Pod that was just bound, or of what it was given.
        let view = self.view(ReadAt::Latest).await?;
        self.may_run(&view, node, puller, repository)
    }

    fn may_run(&self, view: &View, node: &str, puller: &Puller, repository: &str) -> Result<(), Error> {
        let key = Key::namespaced(Kind::Pod, puller.namespace.as_str(), puller.name.as_str());
        let record = view.get(&key).filter(|record| is_on(record, node)).map(|record| record.object());
        let is_it = |object: &Object| object.metadata().is_some_and(|meta| meta.uid == puller.uid);
        let object = record.filter(|object| is_it(object));
        let spec = object.as_deref().and_then(Object::get::<Pod>).and_then(|pod| pod.spec.as_ref());
        let Some(spec) = spec else { return Err(forbidden(repository, "the Pod is none of this node")) };
        if !pod::runs_of(spec, repository) {
            return Err(forbidden(repository, "no container of the Pod runs it"));
        }
        self.account_may(view, &puller.namespace, spec, repository).or_else(|refused| {
            let named =
                self.logged_in(view, &puller.namespace, spec).any(|caller| self.reads(view, &caller, repository));
            if named { Ok(()) } else { Err(refused) }
        })
    }

    /// Whether the account of a Pod may read a repository.
    fn account_may(&self, view: &View, namespace: &str, spec: &PodSpec, repository: &str) -> Result<(), Error> {
        let account = user_of(namespace, &spec.service_account_name);
        let asked = Access::Images(Verb::Get, repository);
        account.authorise(asked, || self.inner.rights.of(view)).map_err(|error| {
            let hint = "or name a Secret in imagePullSecrets with the token of somebody who may";
            Error { message: format!("{}; {hint}", error.message), ..error }
        })
    }

    fn reads(&self, view: &View, caller: &Caller, repository: &str) -> bool {
        let asked = Access::Images(Verb::Get, repository);
        // The roles are at hand here, and are not read anew.
        if let Caller::User(user) = caller {
            return user.authorise(asked, || self.inner.rights.of(view)).is_ok();
        }
        caller.authorise(asked, || view.clone(), &self.inner.node_uses).is_ok()
    }

    /// Whom the tokens in a Pod's `imagePullSecrets` name. For which registry a Secret names them does not matter: masters are
    /// reached under many names, and nothing is sent anywhere.
    fn logged_in<'a>(
        &'a self,
        view: &'a View,
        namespace: &'a str,
        spec: &'a PodSpec,
    ) -> impl Iterator<Item = Arc<Caller>> + 'a {
        let secrets = spec.image_pull_secrets.iter().filter_map(move |reference| {
            let record = view.get(&Key::namespaced(Kind::Secret, namespace, reference.name.as_str()))?;
            let object = record.object();
            docker_config::logins(object.get::<Secret>()?).ok()
        });
        let logins = secrets.flat_map(|logins| logins.into_iter().take(LOGINS_MAX));
        let tokens = logins.filter_map(|login| login.credentials.ok());
        tokens.filter_map(|found| Some(self.recognise(&found.password)?.caller))
    }
}

fn forbidden(repository: &str, why: &str) -> Error {
    let message = format!("images.kapelle.dev \"{repository}\" is forbidden: {why}");
    Error::new(Reason::Forbidden, message)
}
