//! Where the variables and files of Pods come from: ConfigMaps and Secrets, and what the downward API tells of the Pod itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::Arc,
};

use api::{
    Error, Key, Kind, Object, Reason,
    certificates_v1::ClusterTrustBundle,
    core_v1::{ClusterTrustBundleProjection, ConfigMap, Container, Pod, ResourceFieldSelector, Secret},
    downward,
    kinds::Resource as _,
    selector::Labels,
    well_known::ROOT_CA_CONFIG_MAP,
    x509::{CERTIFICATE, pem},
};
use rpc::{Client, Query};
use tokio::sync::Semaphore;

use super::{
    authority::Authorities,
    certificates::{Bundle, Certificates, Wanted as WantedCertificate},
    manifest,
    tokens::{Tokens, Wanted},
};
use crate::{
    brain::Failure,
    driver::{memory::Memory, node::machine, reports::Reports},
};

/// The values of ConfigMaps and Secrets by their keys.
pub(crate) type Values = BTreeMap<String, Vec<u8>>;

/// How many requests go to masters at a time for what Pods need as they start. Hundreds of Pods that start at once share one
/// connection, and a place among the requests that a master takes from a node, with all else that the node says.
const ASKED_AT_A_TIME: usize = 8;

/// Where variables and files come from. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Sources {
    client: Client,
    memory: Memory,
    /// The node's own address.
    host: Ipv4Addr,
    /// Whoever asks a master has one.
    turns: Arc<Semaphore>,
    pub(crate) tokens: Tokens,
    pub(crate) certificates: Certificates,
    authorities: Authorities,
}

impl Sources {
    pub(crate) fn new(client: Client, memory: Memory, host: Ipv4Addr, reports: Reports) -> Self {
        let turns = Arc::new(Semaphore::new(ASKED_AT_A_TIME));
        let tokens = Tokens::new(client.clone(), turns.clone());
        let certificates = Certificates::new(client.clone(), turns.clone(), reports);
        Self { client, memory, host, turns, tokens, certificates, authorities: Authorities::default() }
    }

    /// The values of a ConfigMap or Secret; `None` if it does not exist and may be missing.
    pub(crate) async fn data(
        &self,
        namespace: &str,
        kind: Kind,
        name: &str,
        optional: bool,
    ) -> Result<Option<Values>, Failure> {
        let found = self.object(&Key::namespaced(kind, namespace, name), optional).await?;
        Ok(found.as_ref().map(values))
    }

    /// A ConfigMap or Secret; `None` if it does not exist and may be missing.
    pub(crate) async fn object(&self, key: &Key, optional: bool) -> Result<Option<Object>, Failure> {
        let read = match (key.kind, &*key.name) {
            (Kind::ConfigMap, ROOT_CA_CONFIG_MAP) => self.authorities.read(&key.namespace, || self.read(key)).await,
            _ => self.read(key).await,
        };
        match read {
            Ok(object) => Ok(Some(object)),
            Err(Error { reason: Reason::NotFound, .. }) if optional => Ok(None),
            Err(error) => Err(missing(error.message)),
        }
    }

    /// The authorities of the ClusterTrustBundles that a volume names or selects, each once; nothing if there is none and that
    /// is fine.
    pub(crate) async fn authorities(&self, wanted: &ClusterTrustBundleProjection) -> Result<String, Failure> {
        let found = match &wanted.name {
            Some(name) => match self.read(&Key::cluster(Kind::ClusterTrustBundle, name.as_str())).await {
                Ok(object) => vec![object],
                Err(Error { reason: Reason::NotFound, .. }) => Vec::new(),
                Err(error) => return Err(missing(error.message)),
            },
            None => self.trust_bundles(wanted).await.map_err(|error| missing(error.message))?,
        };
        if found.is_empty() && !wanted.optional.unwrap_or_default() {
            let which = wanted.name.as_deref().or(wanted.signer_name.as_deref()).unwrap_or_default();
            return Err(missing(format!("there is no ClusterTrustBundle of {which:?} that the volume selects")));
        }
        Ok(united(&found))
    }

    /// The ClusterTrustBundles of a signer with some labels. Which they are only masters know.
    async fn trust_bundles(&self, wanted: &ClusterTrustBundleProjection) -> Result<Vec<Object>, Error> {
        let Some(selector) = &wanted.label_selector else { return Ok(Vec::new()) };
        let signer = wanted.signer_name.as_deref().unwrap_or_default();
        let fields = format!("spec.signerName={signer}");
        let labels = Labels::from_selector(selector)?.to_string();
        let query = Query { labels, fields, ..Query::all(Kind::ClusterTrustBundle) };
        Ok(self.client.list(&query).await?.items)
    }

    /// A ConfigMap or Secret as it is, or, while no master answers, as it was when it was read last.
    async fn read(&self, key: &Key) -> Result<Object, Error> {
        if self.memory.is_old()
            && let Some(object) = self.memory.recall_used(key)
        {
            return Ok(object);
        }
        let read = self.ask(key).await;
        match &read {
            Ok(object) => self.memory.keep_used(object).await,
            Err(error) if error.reason == Reason::NotFound => self.memory.forget_used(key),
            Err(error) if error.reason.retryable() => return self.memory.recall_used(key).map_or(read, Ok),
            Err(_) => {}
        }
        read
    }

    /// A ConfigMap or Secret as the masters know it now; nothing is remembered of it.
    pub(crate) async fn present(&self, key: &Key) -> Result<Option<Object>, Error> {
        match self.ask(key).await {
            Err(error) if error.reason == Reason::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }

    async fn ask(&self, key: &Key) -> Result<Object, Error> {
        let _turn = self.turns.acquire().await.map_err(Error::internal)?;
        self.client.get(key).await
    }

    /// A token; `None` where one lies already and no master answers: the Pod goes on with that one, and gets another later.
    pub(crate) async fn token(&self, wanted: &Wanted, lies_there: bool) -> Result<Option<String>, Error> {
        if lies_there && self.memory.is_old() {
            return Ok(None);
        }
        match self.tokens.token(wanted).await {
            Err(error) if lies_there && error.reason.retryable() => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// A key with a certificate; `None` where they lie already and no master answers: the Pod goes on with those, and gets others
    /// later.
    pub(crate) async fn certificate(
        &self,
        wanted: &WantedCertificate,
        lies_there: bool,
    ) -> Result<Option<Bundle>, Failure> {
        if lies_there && self.memory.is_old() {
            return Ok(None);
        }
        self.certificates.bundle(wanted, lies_there).await
    }

    /// A field of a Pod that has an address, as the downward API names it.
    pub(crate) fn field(&self, pod: &Pod, address: Ipv4Addr, path: &str) -> Result<String, Failure> {
        field(pod, address, self.host, path)
    }

    /// An amount of a container: of the one that is named, else of the one that asks.
    pub(crate) fn amount(
        &self,
        pod: &Pod,
        asking: Option<&Container>,
        field: &ResourceFieldSelector,
    ) -> Result<String, Failure> {
        let named = manifest::container(pod, &field.container_name);
        let container = if field.container_name.is_empty() { asking } else { named };
        let container =
            container.ok_or_else(|| missing(format!("the Pod has no container {:?}", field.container_name)))?;
        downward::amount(container, field, &machine::capacity(0)).map_err(missing)
    }
}

/// Why a container cannot be made: something that its Pod names is not there.
pub(super) fn missing(message: String) -> Failure {
    Failure { reason: "CreateContainerConfigError", message }
}

/// The authorities of ClusterTrustBundles, each once.
fn united(bundles: &[Object]) -> String {
    let texts = bundles.iter().filter_map(|object| object.get::<ClusterTrustBundle>()?.spec.as_ref());
    let blocks = texts.flat_map(|spec| pem::blocks(spec.trust_bundle.as_bytes()));
    let each: BTreeSet<Vec<u8>> = blocks.map(|block| block.bytes).collect();
    each.iter().map(|bytes| pem::encode(CERTIFICATE, bytes)).collect()
}

/// The values of a ConfigMap or Secret by their keys.
pub(super) fn values(object: &Object) -> Values {
    if let Some(map) = object.get::<ConfigMap>() {
        let texts = map.data.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        return texts.chain(map.binary_data.iter().map(|(key, value)| (key.clone(), value.to_vec()))).collect();
    }
    object
        .get::<Secret>()
        .map(|secret| secret.data.iter().map(|(key, value)| (key.clone(), value.to_vec())).collect())
        .unwrap_or_default()
}

/// A field of the Pod, as the downward API names it.
fn field(pod: &Pod, address: Ipv4Addr, host: Ipv4Addr, path: &str) -> Result<String, Failure> {
    let meta = pod.metadata().cloned().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let keyed = |map: &BTreeMap<String, String>, prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    let listed = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value:?}\n")).collect::<String>()
    };
    Ok(match path {
        "metadata.name" => meta.name,
        "metadata.namespace" => meta.namespace,
        "metadata.uid" => meta.uid,
        "metadata.labels" => listed(&meta.labels),
        "metadata.annotations" => listed(&meta.annotations),
        "spec.nodeName" => spec.map(|spec| spec.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => spec.map(|spec| spec.service_account_name.clone()).unwrap_or_default(),
        "status.podIP" | "status.podIPs" => address.to_string(),
        "status.hostIP" | "status.hostIPs" => host.to_string(),
        _ => keyed(&meta.labels, "metadata.labels")
            .or_else(|| keyed(&meta.annotations, "metadata.annotations"))
            .ok_or_else(|| missing(format!("fieldRef.fieldPath {path:?} is not known; one of metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'], metadata.annotations['KEY'], spec.nodeName, status.podIP, status.hostIP")))?,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::driver::testing::sources;

    #[tokio::test]
    async fn while_no_master_answers_what_was_read_last_is_used() {
        let mut secret = Secret { data: [("k".to_owned(), "v".into())].into(), ..Secret::default() };
        (secret.metadata_mut().name, secret.metadata_mut().namespace) = ("s".to_owned(), "default".to_owned());
        let (_dir, sources) = sources(&[secret.into()]).await;
        let values = sources.data("default", Kind::Secret, "s", false).await.unwrap();
        assert_eq!(values, Some(BTreeMap::from([("k".to_owned(), b"v".to_vec())])));
    }

    #[test]
    fn texts_and_bytes_of_a_config_map_are_its_values() {
        let map = ConfigMap {
            data: [("text".to_owned(), "a".to_owned())].into(),
            binary_data: [("bytes".to_owned(), vec![0, 1].into())].into(),
            ..ConfigMap::default()
        };
        let expected = [("bytes".to_owned(), vec![0, 1]), ("text".to_owned(), b"a".to_vec())];
        assert_eq!(values(&map.into()), BTreeMap::from(expected));
        assert!(values(&Pod::default().into()).is_empty());
    }

    #[test]
    fn fields_of_a_pod_are_found_by_their_paths() {
        let mut pod = Pod::default();
        pod.metadata_mut().name = "web-1".to_owned();
        pod.metadata_mut().labels = [("app".to_owned(), "web".to_owned()), ("a".to_owned(), "\"1\"".to_owned())].into();
        let (address, host) = (Ipv4Addr::new(10, 244, 0, 7), Ipv4Addr::new(192, 168, 0, 1));
        let of = |path: &str| field(&pod, address, host, path);
        assert_eq!(of("metadata.name").unwrap(), "web-1");
        assert_eq!(of("metadata.labels").unwrap(), "a=\"\\\"1\\\"\"\napp=\"web\"\n");
        assert_eq!(of("metadata.labels['app']").unwrap(), "web");
        assert_eq!(of("metadata.annotations['none']").unwrap(), "");
        assert_eq!(
            (of("status.podIP").unwrap(), of("status.hostIP").unwrap()),
            (address.to_string(), host.to_string())
        );
        let failure = of("metadata.labels[app]").unwrap_err();
        assert!(failure.message.contains("is not known"), "{failure:?}");
    }
}
