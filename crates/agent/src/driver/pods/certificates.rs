//! Keys of the Pods of this node, and certificates for them: a key is made when a container starts that mounts it, a signer is asked
//! with a PodCertificateRequest, and both are replaced before the certificate ends. Keys are in memory and in the Pod's volume, and
//! nowhere else: who starts anew asks anew.

use std::{
    collections::HashMap,
    convert::Infallible,
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    Error, Key, Kind, Object, Reason, Timestamp,
    certificates_v1::{PodCertificateRequest, PodCertificateRequestSpec},
    core_v1::{Pod, PodCertificateProjection},
    kinds::{
        Resource as _,
        certificates::pod_certificate_request::{DENIED, FAILED, ISSUED, outcome},
    },
    meta_v1::{ObjectMeta, OwnerReference},
    x509::{CERTIFICATE, pem},
};
use rpc::{
    Client,
    identity::{KeyPair, KeySort},
};
use rustix::fs::Mode;
use tokio::sync::Semaphore;

use super::beneath::Root;
use crate::{
    brain::{Failure, Note, Uid},
    driver::{
        clock::{now, reached},
        reports::Reports,
    },
};

/// How long a container that starts waits for a signer before it is told that there is no certificate yet; it is started again
/// later, and goes on with the same request.
const WAIT: Duration = Duration::from_secs(10);

/// How often a request is looked at meanwhile, at first and at the end.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_LAST: Duration = Duration::from_secs(1);

/// How often masters are asked again that may not have heard of the Pod yet, and how long to wait in between.
const TRIES: usize = 20;
const TRY_EVERY: Duration = Duration::from_millis(100);

/// How long to wait after a certificate could not be replaced.
const RETRY: Duration = Duration::from_secs(30);

/// Certificates are replaced so much later than their signers say, at most, so that not all of a node's Pods ask at once: as in
/// Kubernetes.
const JITTER: Duration = Duration::from_secs(5 * 60);

/// When so much time has passed since a certificate should have been replaced, users are told: as in Kubernetes.
const OVERDUE: Duration = Duration::from_secs(10 * 60);

/// The certificates of this node's Pods. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Certificates {
    client: Client,
    turns: Arc<Semaphore>,
    reports: Reports,
    kept: Arc<Mutex<HashMap<Place, Arc<tokio::sync::Mutex<State>>>>>,
}

/// A source of a volume of a Pod: its volume's name, and its place there.
type Place = (Uid, String, usize);

/// A certificate that a Pod wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pod: Arc<Pod>,
    place: Place,
    projection: PodCertificateProjection,
}

/// Files that hold a key and a certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFiles {
    pub(crate) wanted: Wanted,
    pub(crate) volume: PathBuf,
    pub(crate) mode: Mode,
}

/// What there is for one place.
#[derive(Default)]
struct State {
    /// What was issued last.
    held: Option<Held>,
    /// What was asked for and not decided yet.
    pending: Option<Pending>,
    /// Why the signer gives none: it is not asked again for this Pod.
    refused: Option<String>,
}

/// A key and its certificate.
#[derive(Clone, Debug)]
struct Held {
    bundle: Bundle,
    /// When another one is to take its place, as its signer says.
    refresh: Timestamp,
    /// When it is to be asked for next.
    due: Timestamp,
    ends: Timestamp,
    /// Whether users were told that it is late, and that it has ended.
    is_told_late: bool,
    is_told_ended: bool,
}

/// A request that somebody is to decide.
struct Pending {
    key: String,
    request: Key,
}

/// A key and the certificates for it, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    key: String,
    chain: String,
}

/// Why there is no certificate.
enum Missing {
    /// Nobody has decided yet.
    Undecided(String),
    /// It will not be given.
    Refused(String),
    /// Masters could not be asked.
    Unasked(Error),
}

/// The paths at which the files of a key and its certificate are to be.
pub(super) fn paths(projection: &PodCertificateProjection) -> impl Iterator<Item = &str> {
    let PodCertificateProjection { credential_bundle_path, key_path, certificate_chain_path, .. } = projection;
    let all = [credential_bundle_path, key_path, certificate_chain_path];
    all.into_iter().map(String::as_str).filter(|path| !path.is_empty())
}

impl Wanted {
    /// What a source of a volume wants.
    pub(crate) fn by(pod: &Pod, volume: &str, source: usize, projection: &PodCertificateProjection) -> Self {
        let place = (pod.uid().into(), volume.to_owned(), source);
        Self { pod: Arc::new(pod.clone()), place, projection: projection.clone() }
    }

    /// The files, by their paths in the volume.
    pub(crate) fn files(&self, bundle: &Bundle) -> Vec<(String, String)> {
        let Bundle { key, chain } = bundle;
        let PodCertificateProjection { credential_bundle_path, key_path, certificate_chain_path, .. } =
            &self.projection;
        let all = [
            (credential_bundle_path, format!("{key}{chain}")),
            (key_path, key.clone()),
            (certificate_chain_path, chain.clone()),
        ];
        let given = all.into_iter().filter(|(path, _)| !path.is_empty());
        given.map(|(path, text)| (path.clone(), text)).collect()
    }

    /// Whether all of its files lie in a volume.
    pub(crate) fn lies_in(&self, volume: &Path) -> bool {
        let nothing = Bundle { key: String::new(), chain: String::new() };
        self.files(&nothing).iter().all(|(path, _)| volume.join(path).exists())
    }

    /// The request for a key's certificate. `account` and `node` are uids.
    fn request(&self, stub: Vec<u8>, account: &str, node: &str) -> PodCertificateRequest {
        let (pod, runs) = (&self.pod, self.pod.spec.clone().unwrap_or_default());
        let owner = OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            ..OwnerReference::default()
        };
        let metadata = ObjectMeta {
            generate_name: "req-".to_owned(),
            namespace: pod.namespace().to_owned(),
            owner_references: vec![owner],
            ..ObjectMeta::default()
        };
        let spec = PodCertificateRequestSpec {
            signer_name: self.projection.signer_name.clone(),
            pod_name: pod.name().to_owned(),
            pod_uid: pod.uid().to_owned(),
            service_account_name: runs.service_account_name,
            service_account_uid: account.to_owned(),
            node_name: runs.node_name,
            node_uid: node.to_owned(),
            max_expiration_seconds: self.projection.max_expiration_seconds,
            stub_pkcs10_request: stub.into(),
            unverified_user_annotations: self.projection.user_annotations.clone(),
        };
        PodCertificateRequest { metadata: Some(metadata), spec: Some(spec), status: None }
    }
}

impl Missing {
    fn told(self) -> Failure {
        let (Self::Undecided(message) | Self::Refused(message) | Self::Unasked(Error { message, .. })) = self;
        Failure { reason: "CreateContainerConfigError", message }
    }
}

impl Certificates {
    /// Masters are asked by a client, as often at a time as there are turns.
    pub(crate) fn new(client: Client, turns: Arc<Semaphore>, reports: Reports) -> Self {
        Self { client, turns, reports, kept: Arc::default() }
    }

    /// A key with a certificate that is fresh, or one that has not ended while there is no other. `None` where one lies already and
    /// no master answers.
    pub(crate) async fn bundle(&self, wanted: &Wanted, lies_there: bool) -> Result<Option<Bundle>, Failure> {
        match self.fresh(wanted).await {
            Ok(bundle) => Ok(Some(bundle)),
            Err(Missing::Unasked(error)) if lies_there && error.reason.retryable() => Ok(None),
            Err(why) => Err(why.told()),
        }
    }

    async fn fresh(&self, wanted: &Wanted) -> Result<Bundle, Missing> {
        let state = self.kept().entry(wanted.place.clone()).or_default().clone();
        // Containers of a Pod that mount the same have the same.
        let mut state = state.lock().await;
        let held = state.held.clone();
        if let Some(fresh) = held.as_ref().filter(|held| now() < held.due) {
            return Ok(fresh.bundle.clone());
        }
        match self.decided(wanted, &mut state).await {
            Ok(held) => {
                let bundle = held.bundle.clone();
                state.held = Some(held);
                Ok(bundle)
            }
            Err(why) => {
                let Some(old) = &mut state.held else { return Err(why) };
                self.tell_late(wanted, old);
                old.due = now().after(RETRY);
                if now() < old.ends { Ok(old.bundle.clone()) } else { Err(why) }
            }
        }
    }

    /// Asks for a certificate, unless that was done, and waits for what becomes of it, but not for long.
    async fn decided(&self, wanted: &Wanted, state: &mut State) -> Result<Held, Missing> {
        if let Some(why) = &state.refused {
            return Err(Missing::Refused(why.clone()));
        }
        if state.pending.is_none() {
            state.pending = Some(self.ask(wanted).await.map_err(Missing::Unasked)?);
        }
        let Some(pending) = &state.pending else { return Err(Missing::Undecided(String::new())) };
        let (until, mut pause) = (now().after(WAIT), LOOK_FIRST);
        let decided = loop {
            match self.read(&pending.request).await {
                Ok(object) => {
                    let request = object.get::<PodCertificateRequest>().cloned().unwrap_or_default();
                    if outcome(&request).is_some() {
                        break Some(request);
                    }
                }
                // Somebody has deleted it: another one is made next time.
                Err(error) if error.reason == Reason::NotFound => break None,
                Err(error) => return Err(Missing::Unasked(error)),
            }
            if now() >= until {
                let why = format!(
                    "the signer {:?} has not decided about the PodCertificateRequest {} yet",
                    wanted.projection.signer_name, pending.request
                );
                return Err(Missing::Undecided(why));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_LAST);
        };
        let Some(Pending { key, request }) = state.pending.take() else {
            return Err(Missing::Undecided(String::new()));
        };
        match decided {
            None => Err(Missing::Undecided(format!("somebody has deleted the PodCertificateRequest {request}"))),
            Some(decided) => held(&decided, key).map_err(|(as_what, why)| {
                self.tell(wanted, as_what, why.clone());
                state.refused = Some(why.clone());
                Missing::Refused(why)
            }),
        }
    }

    /// Makes a key and asks for its certificate.
    async fn ask(&self, wanted: &Wanted) -> Result<Pending, Error> {
        let sort = KeySort::from_word(&wanted.projection.key_type);
        let sort = sort.ok_or_else(|| Error::internal("nodes make no keys of this type"))?;
        // Making one takes a moment of computing.
        let made = move || {
            let key = KeyPair::generate_as(sort)?;
            let stub = key.request()?;
            Ok::<_, rpc::identity::IdentityError>((key.to_pem(), stub))
        };
        let (key, stub) = tokio::task::spawn_blocking(made).await.map_err(Error::internal)?.map_err(Error::internal)?;
        let runs = wanted.pod.spec.clone().unwrap_or_default();
        let account = Key::namespaced(Kind::ServiceAccount, wanted.pod.namespace(), runs.service_account_name);
        let account = uid(&self.read(&account).await?);
        let node = uid(&self.read(&Key::cluster(Kind::Node, runs.node_name)).await?);
        let request = Object::from(wanted.request(stub, &account, &node));
        let mut tries = 0;
        loop {
            match self.create(request.clone()).await {
                Ok(made) => return Ok(Pending { key, request: made.key() }),
                // That master has not heard of the Pod yet.
                Err(error) if error.reason == Reason::Conflict && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    async fn create(&self, object: Object) -> Result<Object, Error> {
        let _turn = self.turns.acquire().await.map_err(Error::internal)?;
        self.client.create(object).await
    }

    async fn read(&self, key: &Key) -> Result<Object, Error> {
        let _turn = self.turns.acquire().await.map_err(Error::internal)?;
        self.client.get(key).await
    }

    /// Keeps files fresh.
    pub(crate) async fn refresh(&self, files: &[CertificateFiles]) -> Infallible {
        let mut next = Vec::new();
        for file in files {
            next.push(self.due(&file.wanted).await);
        }
        loop {
            reached(next.iter().min().copied()).await;
            for (file, next) in files.iter().zip(&mut next).filter(|(_, next)| **next <= now()) {
                // In a box: many of these wait for a long time, and calling a master takes much more room than waiting.
                if let Err(why) = Box::pin(self.replace(file)).await {
                    let why = why.told().message;
                    tracing::warn!(%why, pod = %file.wanted.pod.key(), "a certificate in a Pod could not be replaced");
                }
                *next = self.due(&file.wanted).await;
            }
        }
    }

    async fn due(&self, wanted: &Wanted) -> Timestamp {
        let state = self.kept().get(&wanted.place).cloned();
        let soon = now().after(RETRY);
        let Some(state) = state else { return soon };
        let state = state.lock().await;
        state.held.as_ref().map_or(soon, |held| held.due.max(now()))
    }

    async fn replace(&self, file: &CertificateFiles) -> Result<(), Missing> {
        let texts = file.wanted.files(&self.fresh(&file.wanted).await?);
        let (volume, mode) = (file.volume.clone(), file.mode);
        let write = move || {
            let root = Root::open(&volume)?;
            texts.iter().try_for_each(|(path, text)| root.replace(Path::new(path), text.as_bytes(), mode))
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(Error::internal);
        written.and_then(|written| written.map_err(Error::internal)).map_err(Missing::Unasked)
    }

    /// Forgets the keys of a Pod that is gone.
    pub(crate) fn forget(&self, pod: &Uid) {
        self.kept().retain(|(of, ..), _| of != pod);
    }

    fn tell_late(&self, wanted: &Wanted, held: &mut Held) {
        if !held.is_told_late && now() >= held.refresh.after(OVERDUE) {
            held.is_told_late = true;
            self.tell(wanted, "CertificateOverdueForRefresh", "PodCertificate refresh overdue".to_owned());
        }
        if !held.is_told_ended && now() >= held.ends {
            held.is_told_ended = true;
            self.tell(wanted, "CertificateExpired", "PodCertificate expired".to_owned());
        }
    }

    fn tell(&self, wanted: &Wanted, reason: &'static str, message: String) {
        self.reports.tell(&wanted.pod, &Note { warning: true, reason, message }, now());
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Place, Arc<tokio::sync::Mutex<State>>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn uid(object: &Object) -> String {
    object.metadata().map(|meta| meta.uid.clone()).unwrap_or_default()
}

/// What a request was answered with, or as what it was refused and why.
fn held(request: &PodCertificateRequest, key: String) -> Result<Held, (&'static str, String)> {
    let Some(said) = outcome(request) else { return Err((FAILED, "nobody has decided".to_owned())) };
    let refused = |as_what, how: &str| {
        let (of, reason, message) = (request.key(), &said.reason, &said.message);
        (
            as_what,
            format!("PodCertificateRequest {}/{} {how}, reason={reason:?}, message={message:?}", of.namespace, of.name),
        )
    };
    match said.r#type.as_str() {
        ISSUED => {}
        DENIED => return Err(refused(DENIED, "was denied")),
        _ => return Err(refused(FAILED, "failed")),
    }
    let status = request.status.clone().unwrap_or_default();
    let at = |time: Option<api::meta_v1::Time>| time.as_ref().map(Timestamp::from).unwrap_or_default();
    // Whatever stands between the certificates is nobody's.
    let chain = pem::blocks(status.certificate_chain.as_bytes()).map(|block| pem::encode(CERTIFICATE, &block.bytes));
    let bundle = Bundle { key, chain: chain.collect() };
    let jitter = RandomState::new().hash_one(&bundle.chain) % u64::try_from(JITTER.as_millis()).unwrap_or(1);
    let refresh = at(status.begin_refresh_at);
    let due = refresh.after(Duration::from_millis(jitter));
    Ok(Held { bundle, refresh, due, ends: at(status.not_after), is_told_late: false, is_told_ended: false })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{
        core_v1::PodSpec,
        kinds::certificates::pod_certificate_request::{ended, issued},
        x509::Request,
    };

    use super::*;
    use crate::driver::testing;

    fn wanted() -> Wanted {
        let runs =
            PodSpec { service_account_name: "till".to_owned(), node_name: "n1".to_owned(), ..PodSpec::default() };
        let mut pod = Pod { spec: Some(runs), ..Pod::default() };
        let meta = pod.metadata_mut();
        (meta.name, meta.namespace, meta.uid) = ("p".to_owned(), "shop".to_owned(), "u1".to_owned());
        let projection = PodCertificateProjection {
            signer_name: "example.org/house".to_owned(),
            key_type: "ED25519".to_owned(),
            max_expiration_seconds: Some(7200),
            credential_bundle_path: "both.pem".to_owned(),
            key_path: "sub/tls.key".to_owned(),
            user_annotations: [("example.org/tier".to_owned(), "front".to_owned())].into(),
            ..PodCertificateProjection::default()
        };
        Wanted::by(&pod, "who", 3, &projection)
    }

    fn certificates() -> Certificates {
        Certificates::new(testing::client(), Arc::new(Semaphore::new(1)), Reports::new("n1"))
    }

    fn keep(certificates: &Certificates, state: State) {
        certificates.kept().insert(wanted().place, Arc::new(tokio::sync::Mutex::new(state)));
    }

    fn bundle(key: &str) -> Bundle {
        Bundle { key: key.to_owned(), chain: "c".to_owned() }
    }

    fn held_for(key: &str, due: Timestamp, ends: Timestamp) -> Held {
        Held { bundle: bundle(key), refresh: due, due, ends, is_told_late: false, is_told_ended: false }
    }

    #[test]
    fn what_is_asked_for_names_the_pod_and_ends_with_it() {
        let key = KeyPair::generate_as(KeySort::Ed25519).unwrap();
        let request = wanted().request(key.request().unwrap(), "a1", "n1-uid");
        let owner = &request.metadata.as_ref().unwrap().owner_references[0];
        assert_eq!((owner.kind.as_str(), owner.name.as_str(), owner.uid.as_str()), ("Pod", "p", "u1"));
        let spec = request.spec.unwrap();
        assert_eq!(
            [&spec.pod_name, &spec.pod_uid, &spec.service_account_name, &spec.node_name],
            ["p", "u1", "till", "n1"]
        );
        assert_eq!([&spec.service_account_uid, &spec.node_uid], ["a1", "n1-uid"]);
        assert_eq!((spec.max_expiration_seconds, spec.unverified_user_annotations.len()), (Some(7200), 1));
        let stub = Request::of_pod(&spec.stub_pkcs10_request).unwrap();
        assert!(stub.subject.common_name.is_empty() && stub.names.is_empty(), "it names nobody");
    }

    #[test]
    fn what_a_signer_says_is_kept_without_what_is_between_or_told() {
        let wanted = wanted();
        let request = wanted.request(Vec::new(), "a", "n");
        let made = rpc::identity::Authority::found("a").unwrap().certificate_pem().to_owned();
        let issued = issued(&request, format!("# ours\n{made}and\n{made}"), now());
        let got = held(&issued, "key".to_owned()).unwrap();
        assert_eq!(got.bundle.chain, format!("{made}{made}"));
        let status = issued.status.unwrap_or_default();
        let refresh = Timestamp::from(&status.begin_refresh_at.unwrap());
        assert!(got.due >= refresh && got.due < refresh.after(JITTER) && got.ends > got.due);
        for (as_what, how) in [(DENIED, "was denied"), (FAILED, "failed")] {
            let (reason, why) = held(&ended(&request, as_what, "Why", "so", now()), String::new()).unwrap_err();
            assert_eq!(reason, as_what);
            assert!(why.contains(how) && why.contains("reason=\"Why\", message=\"so\""), "{why}");
        }
    }

    #[tokio::test]
    async fn a_fresh_one_serves_all_containers_and_its_files_are_replaced_at_once() {
        let certificates = certificates();
        let hour = now().after(Duration::from_secs(3600));
        keep(&certificates, State { held: Some(held_for("k", hour, hour)), ..State::default() });
        assert_eq!(certificates.bundle(&wanted(), false).await.unwrap(), Some(bundle("k")));
        let dir = tempfile::tempdir().unwrap();
        assert!(!wanted().lies_in(dir.path()));
        let file =
            CertificateFiles { wanted: wanted(), volume: dir.path().to_owned(), mode: Mode::from_raw_mode(0o640) };
        certificates.replace(&file).await.ok().unwrap();
        assert!(wanted().lies_in(dir.path()));
        assert_eq!(std::fs::read_to_string(dir.path().join("both.pem")).unwrap(), "kc");
        assert_eq!(std::fs::read_to_string(dir.path().join("sub/tls.key")).unwrap(), "k");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
        assert_eq!(certificates.due(&wanted()).await, hour);
        certificates.forget(&"u1".into());
        assert!(certificates.kept().is_empty());
    }

    #[tokio::test]
    async fn an_old_one_is_used_until_it_ends_and_a_refusal_is_for_good() {
        let certificates = certificates();
        let (past, hour) = (Timestamp(now().0 - 1000), now().after(Duration::from_secs(3600)));
        let refused = Some("no".to_owned());
        let state = |ends| State { held: Some(held_for("k", past, ends)), refused: refused.clone(), pending: None };
        keep(&certificates, state(hour));
        assert_eq!(certificates.bundle(&wanted(), false).await.unwrap(), Some(bundle("k")));
        assert!(certificates.due(&wanted()).await > now(), "it is tried again later");
        keep(&certificates, state(past));
        assert_eq!(certificates.bundle(&wanted(), true).await.unwrap_err().message, "no");
        assert!(!certificates.reports.is_empty(), "users are told that it has ended");
    }
}
