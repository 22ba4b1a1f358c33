//! What in the volumes of a running container is written anew: tokens and certificates before they end, and authorities when they
//! change.

use std::{
    convert::Infallible,
    future::Future,
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf},
    time::Duration,
};

use api::core_v1::{ClusterTrustBundleProjection, Container, Pod};
use rustix::fs::Mode;

use super::{
    beneath::Root,
    certificates::{self, CertificateFiles},
    dirs::PodDirs,
    sources::Sources,
    tokens::{self, TokenFile},
    volumes::{self, Projected},
};

/// How often it is looked whether authorities have changed: as long as a kubelet takes at most between two looks at a Pod, nearly.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The files of a container's volumes that are kept fresh.
#[derive(Default)]
pub(crate) struct Upkeep {
    tokens: Vec<TokenFile>,
    certificates: Vec<CertificateFiles>,
    authorities: Vec<AuthorityFile>,
}

/// A file that holds authorities.
struct AuthorityFile {
    wanted: ClusterTrustBundleProjection,
    volume: PathBuf,
    mode: Mode,
}

impl Upkeep {
    /// What is to be kept fresh for a container.
    pub(crate) fn of(dirs: &PodDirs, pod: &Pod, container: &Container) -> Self {
        let mut upkeep = Self::default();
        for Projected { volume, index, source, dir, mode } in volumes::projections(dirs, pod, container) {
            if let Some(token) = &source.service_account_token {
                let wanted = tokens::Wanted::by(pod, token);
                upkeep.tokens.push(TokenFile { wanted, volume: dir, path: token.path.clone(), mode });
            } else if let Some(certificate) = &source.pod_certificate {
                let wanted = certificates::Wanted::by(pod, &volume.name, index, certificate);
                upkeep.certificates.push(CertificateFiles { wanted, volume: dir, mode });
            } else if let Some(authorities) = &source.cluster_trust_bundle {
                let wanted = ClusterTrustBundleProjection::clone(authorities);
                upkeep.authorities.push(AuthorityFile { wanted, volume: dir, mode });
            }
        }
        upkeep
    }

    /// Whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.certificates.is_empty() && self.authorities.is_empty()
    }

    /// Keeps them fresh.
    pub(crate) async fn keep(&self, sources: &Sources) -> Infallible {
        tokio::select! {
            never = unless(self.tokens.is_empty(), || sources.tokens.refresh(&self.tokens)) => never,
            never = unless(self.certificates.is_empty(), || sources.certificates.refresh(&self.certificates)) => never,
            never = unless(self.authorities.is_empty(), || follow(sources, &self.authorities)) => never,
        }
    }
}

/// Does something, or waits for ever: what nobody needs takes no room.
async fn unless<F: Future<Output = Infallible>>(is_idle: bool, work: impl FnOnce() -> F) -> Infallible {
    if is_idle { std::future::pending().await } else { Box::pin(work()).await }
}

/// Writes authorities anew that have changed. Not all Pods of a node look at once.
async fn follow(sources: &Sources, files: &[AuthorityFile]) -> Infallible {
    let late = RandomState::new().hash_one(0) % u64::try_from(LOOK_EVERY.as_millis()).unwrap_or(1);
    tokio::time::sleep(Duration::from_millis(late)).await;
    loop {
        for file in files {
            if let Err(why) = Box::pin(file.follow(sources)).await {
                tracing::warn!(%why, volume = %file.volume.display(), "authorities in a Pod could not be written anew");
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl AuthorityFile {
    async fn follow(&self, sources: &Sources) -> Result<(), String> {
        let text = sources.authorities(&self.wanted).await.map_err(|failure| failure.message)?;
        let (volume, path, mode) = (self.volume.clone(), self.wanted.path.clone(), self.mode);
        let write = move || {
            // The node made the directory, and no guest writes there.
            if std::fs::read(volume.join(&path)).is_ok_and(|lies_there| lies_there == text.as_bytes()) {
                return Ok(());
            }
            Root::open(&volume)?.replace(Path::new(&path), text.as_bytes(), mode)
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(|error| error.to_string())?;
        written.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{fs, os::unix::fs::MetadataExt as _};

    use api::{
        certificates_v1::{ClusterTrustBundle, ClusterTrustBundleSpec},
        core_v1::{
            PodCertificateProjection, PodSpec, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume,
            VolumeMount, VolumeProjection, VolumeSource,
        },
        kinds::Resource as _,
    };

    use super::*;
    use crate::driver::testing::sources;

    fn bundle(authority: &str) -> ClusterTrustBundle {
        let trust_bundle = rpc::identity::Authority::found(authority).unwrap().certificate_pem().to_owned();
        let spec = ClusterTrustBundleSpec { trust_bundle, ..ClusterTrustBundleSpec::default() };
        let mut bundle = ClusterTrustBundle { spec: Some(spec), ..ClusterTrustBundle::default() };
        bundle.metadata_mut().name = "house".to_owned();
        bundle
    }

    fn wanted() -> ClusterTrustBundleProjection {
        let (name, path) = (Some("house".to_owned()), "sub/ca.pem".to_owned());
        ClusterTrustBundleProjection { name, path, ..ClusterTrustBundleProjection::default() }
    }

    #[tokio::test]
    async fn authorities_follow_their_bundle_and_are_written_when_they_change_alone() {
        let (one, two) = (bundle("one"), bundle("two"));
        let (dir, first) = sources(&[one.clone().into()]).await;
        let file = AuthorityFile { wanted: wanted(), volume: dir.path().to_owned(), mode: Mode::from_raw_mode(0o644) };
        file.follow(&first).await.unwrap();
        let path = dir.path().join("sub/ca.pem");
        assert_eq!(fs::read_to_string(&path).unwrap(), one.spec.unwrap().trust_bundle);
        let written = fs::metadata(&path).unwrap().ino();
        file.follow(&first).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), written, "nothing has changed");
        let (_other, second) = sources(&[two.clone().into()]).await;
        file.follow(&second).await.unwrap();
        let text = two.spec.unwrap().trust_bundle;
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let (_none, gone) = sources(&[]).await;
        assert!(file.follow(&gone).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "what was believed stays");
    }

    #[test]
    fn what_a_container_mounts_is_kept_fresh_by_its_sort() {
        let token = VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection::default().into()),
            ..VolumeProjection::default()
        };
        let certificate = VolumeProjection {
            pod_certificate: Some(PodCertificateProjection::default().into()),
            ..VolumeProjection::default()
        };
        let authorities =
            VolumeProjection { cluster_trust_bundle: Some(wanted().into()), ..VolumeProjection::default() };
        let projected = ProjectedVolumeSource {
            sources: vec![token, certificate, VolumeProjection::default(), authorities],
            ..ProjectedVolumeSource::default()
        };
        let source = VolumeSource { projected: Some(Box::new(projected)), ..VolumeSource::default() };
        let volume = Volume { name: "who".to_owned(), volume_source: Some(source) };
        let pod = Pod { spec: Some(PodSpec { volumes: vec![volume], ..PodSpec::default() }), ..Pod::default() };
        let mount = VolumeMount { name: "who".to_owned(), ..VolumeMount::default() };
        let mounts = Container { volume_mounts: vec![mount], ..Container::default() };
        let dirs = PodDirs::below(Path::new("/nowhere"));
        let upkeep = Upkeep::of(&dirs, &pod, &mounts);
        assert_eq!((upkeep.tokens.len(), upkeep.certificates.len(), upkeep.authorities.len()), (1, 1, 1));
        assert!(!upkeep.is_empty() && Upkeep::of(&dirs, &pod, &Container::default()).is_empty());
    }
}
