//! What users do to a cluster: apply manifests, scale, delete.

use api::{
    DeleteOptions, Error, Key, Kind, Object, Propagation, Served, Subresource, Write,
    apps_v1::Deployment,
    certificates_v1::{CertificateSigningRequest, CertificateSigningRequestCondition},
    core_v1::Node,
    json::{self, Strictness},
    kinds::Resource,
    patch, yaml,
};
use serde_json::Value;

use crate::Cluster;

/// Where objects of a manifest go that does not say.
const NAMESPACE: &str = "default";

impl Cluster {
    /// Applies every document of a manifest. Answers a line for each.
    ///
    /// # Errors
    /// The first that is refused.
    pub fn apply(&mut self, manifest: &str) -> Result<Vec<String>, Error> {
        yaml::documents(manifest)?.iter().map(|document| self.apply_one(document)).collect()
    }

    fn apply_one(&mut self, document: &serde_json::Value) -> Result<String, Error> {
        let word = |name| document.get(name).and_then(|value| value.as_str()).unwrap_or_default();
        let (api_version, kind) = (word("apiVersion"), word("kind"));
        let definitions = self.definitions();
        let served = Served::from_api_version(api_version, kind);
        let unknown = || Error::bad_request(format!("{api_version} {kind} is not known here"));
        let served = served.or_else(|| definitions.from_api_version(api_version, kind)).ok_or_else(unknown)?;
        let version = if let Served::Custom(version) = served { definitions.version(version) } else { None };
        let read = |value: &Value| match version {
            Some(version) => version.read(value, Strictness::Strict),
            None => json::decode(served, value, Strictness::Strict),
        };
        let mut object = read(document)?.object;
        let kind = served.kind();
        if kind.info().namespaced && object.key().namespace.is_empty() {
            NAMESPACE.clone_into(&mut object.metadata_mut().namespace);
        }
        let key = object.key();
        let name = format!("{}/{}", kind.info().singular, key.name);
        let Some(present) = self.view().get(&key).map(|record| record.object()) else {
            self.submit(&Write::Create(object))?;
            return Ok(format!("{name} created"));
        };
        let mut value = json::encode_as(served, &present);
        patch::strategic(kind.info().message, &mut value, document)?;
        let mut changed = read(&value)?.object;
        changed.metadata_mut().resource_version.clear();
        let stored = self.submit(&Write::Update(changed, Subresource::None))?;
        let same = stored.revision() == present.revision();
        Ok(format!("{name} {}", if same { "unchanged" } else { "configured" }))
    }

    /// Changes a Deployment.
    ///
    /// # Errors
    /// If there is none of that name, or the change is refused.
    pub fn change(&mut self, deployment: &str, change: impl FnOnce(&mut Deployment)) -> Result<(), Error> {
        self.edit(&Key::namespaced(Kind::Deployment, NAMESPACE, deployment), change)
    }

    /// Closes a node for new Pods, or opens it again.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn cordon(&mut self, node: &str, closed: bool) -> Result<(), Error> {
        let close = |node: &mut Node| node.spec.get_or_insert_default().unschedulable = closed;
        self.edit(&Key::cluster(Kind::Node, node), close)
    }

    /// Decides about a CertificateSigningRequest.
    ///
    /// # Errors
    /// If there is none, or it was decided otherwise.
    pub fn approve(&mut self, name: &str, decided: CertificateSigningRequestCondition) -> Result<(), Error> {
        let key = Key::cluster(Kind::CertificateSigningRequest, name);
        let found = self.view().get(&key).map(|record| record.object()).ok_or_else(|| Error::not_found(&key))?;
        let mut request = found.get::<CertificateSigningRequest>().cloned().unwrap_or_default();
        request.status.get_or_insert_default().conditions.push(decided);
        self.submit(&Write::Update(request.into(), Subresource::Approval)).map(drop)
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// If there is none, or it may not be deleted.
    pub fn delete(&mut self, key: Key, propagation: Propagation) -> Result<(), Error> {
        self.submit(&Write::Delete(key, DeleteOptions { propagation, ..DeleteOptions::default() }))?;
        Ok(())
    }

    fn edit<T: Resource + Clone + Into<Object>>(
        &mut self,
        key: &Key,
        change: impl FnOnce(&mut T),
    ) -> Result<(), Error> {
        let record = self.view().get(key).cloned().ok_or_else(|| Error::not_found(key))?;
        let mut object = record.object().get::<T>().cloned().ok_or_else(|| Error::not_found(key))?;
        change(&mut object);
        object.metadata_mut().resource_version.clear();
        self.submit(&Write::Update(object.into(), Subresource::None))?;
        Ok(())
    }
}
