//! Images on disk: content-addressed blobs, and the names that lead to them.
//!
//! A blob is a file named after the SHA-256 of its content. It is written elsewhere first, checked against its name, made
//! durable and only then moved there, so that what is found under a name is whole. Content is kept once, but a repository
//! holds only what was brought to it: whoever knows a digest gets nothing by it from a repository to which nobody brought it.
//! Nothing is ever deleted but names: a registry for the modules of one cluster is small.
//!
//! ```text
//! DIR/blobs/sha256/HEX                  content
//! DIR/repositories/NAME/_tags/TAG       the digest that a tag means
//! DIR/repositories/NAME/_manifests/HEX  the media type of a manifest
//! DIR/repositories/NAME/_blobs/HEX      empty: the repository holds the blob
//! DIR/uploads/ID                        unfinished
//! ```

use std::{
    collections::HashMap,
    fmt,
    io::{self, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::{self, File},
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
};

/// The largest blob, in bytes: far above any Wasm module, far below a disk.
pub const BLOB_BYTES_MAX: u64 = 512 << 20;

/// The largest manifest, in bytes, as the OCI distribution specification suggests.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// How much of a blob is read at a time, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// The most unfinished uploads at a time.
pub const UPLOADS_MAX: usize = 256;

/// After how long without a byte an unfinished upload may give way to a new one.
const UPLOAD_IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// Where a repository keeps what it holds. Names of repositories have no such parts.
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const BLOBS: &str = "_blobs";

/// The file that says that repositories hold what is theirs.
const SEPARATED: &str = "separated";

/// The content of a blob, by its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

/// A text that is no digest of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not sha256: and 64 hexadecimal digits in lower case")]
pub struct BadDigest(String);

/// Why an upload cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no such upload; perhaps the master was restarted.
    #[error("no such upload; start again")]
    Unknown,
    /// Too many are open.
    #[error("{UPLOADS_MAX} uploads are open; try again later")]
    TooMany,
    /// The bytes do not follow those that are there.
    #[error("the upload has {0} bytes; go on from there")]
    Gap(u64),
    /// Larger than [`BLOB_BYTES_MAX`].
    #[error("larger than the limit of {BLOB_BYTES_MAX} bytes")]
    TooLarge,
    /// The content is not what it was said to be.
    #[error("the content has the digest {0}")]
    Mismatch(Digest),
    /// The client stopped sending.
    #[error("the body broke off: {0}")]
    Body(String),
    /// The disk.
    #[error("the disk failed: {0}")]
    Disk(#[from] io::Error),
}

/// The images of a master. Cloning is cheap and shares them.
#[derive(Clone, Debug)]
pub struct Blobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    uploads: Mutex<HashMap<String, Arc<Slot>>>,
}

/// One unfinished upload, and when it last moved.
#[derive(Debug)]
struct Slot {
    /// The repository to which it is brought; it is known there only.
    repository: String,
    moved: Mutex<Instant>,
    upload: tokio::sync::Mutex<Upload>,
}

#[derive(Debug)]
struct Upload {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
}

impl Digest {
    /// The digest of some content.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self::from_hasher(Sha256::new_with_prefix(content))
    }

    fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn hex(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.bytes().all(digit));
        hex.map(|hex| Self(hex.to_owned())).ok_or_else(|| BadDigest(text.to_owned()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl Blobs {
    /// Opens a directory, made if it is missing. What was uploaded half before is forgotten.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub async fn open(dir: &Path) -> io::Result<Self> {
        let uploads = dir.join("uploads");
        if fs::try_exists(&uploads).await? {
            fs::remove_dir_all(&uploads).await?;
        }
        for part in [&uploads, &dir.join("blobs/sha256"), &dir.join("repositories")] {
            fs::create_dir_all(part).await?;
        }
        Ok(Self { inner: Arc::new(Inner { dir: dir.to_owned(), uploads: Mutex::default() }) })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.inner.dir.join("blobs/sha256").join(digest.hex())
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.inner.dir.join("repositories").join(name)
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<String, Arc<Slot>>> {
        self.inner.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes a blob has; `None` if there is none.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn size(&self, digest: &Digest) -> io::Result<Option<u64>> {
        found(fs::metadata(self.path(digest)).await).map(|metadata| metadata.map(|metadata| metadata.len()))
    }

    /// The bytes of a blob within a range that it has, piece by piece. The file is open only while a piece is read: whoever
    /// reads slowly holds no descriptor.
    pub fn read(&self, digest: &Digest, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let path = self.path(digest);
        stream::try_unfold(range, move |range| {
            let path = path.clone();
            async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let bytes = tokio::task::spawn_blocking({
                    let range = range.clone();
                    move || piece(&path, &range)
                });
                let bytes = bytes.await.map_err(io::Error::other)??;
                let rest = range.start + bytes.len() as u64..range.end;
                Ok(Some((bytes, rest)))
            }
        })
    }

    /// Begins an upload to a repository. Answers its id.
    ///
    /// # Errors
    /// If too many are open, or the disk fails.
    pub async fn begin(&self, name: &str) -> Result<String, UploadError> {
        self.make_room()?;
        let id = uuid::Uuid::new_v4().to_string();
        let path = self.inner.dir.join("uploads").join(&id);
        let file = File::create_new(&path).await?;
        let upload = tokio::sync::Mutex::new(Upload { path, file, hasher: Sha256::new(), length: 0 });
        let slot = Slot { repository: name.to_owned(), moved: Mutex::new(Instant::now()), upload };
        self.uploads().insert(id.clone(), Arc::new(slot));
        Ok(id)
    }

    fn make_room(&self) -> Result<(), UploadError> {
        let mut uploads = self.uploads();
        if uploads.len() >= UPLOADS_MAX {
            uploads.retain(|_, slot| slot.idle() < UPLOAD_IDLE_MAX);
        }
        if uploads.len() < UPLOADS_MAX { Ok(()) } else { Err(UploadError::TooMany) }
    }

    fn slot(&self, name: &str, id: &str) -> Result<Arc<Slot>, UploadError> {
        self.uploads().get(id).filter(|slot| slot.repository == name).cloned().ok_or(UploadError::Unknown)
    }

    /// As [`Blobs::slot`], and the upload is under way no more.
    fn taken(&self, name: &str, id: &str) -> Result<Arc<Slot>, UploadError> {
        let slot = self.slot(name, id)?;
        self.uploads().remove(id).map(|_| slot).ok_or(UploadError::Unknown)
    }

    /// How many bytes an upload has.
    ///
    /// # Errors
    /// If there is no such upload.
    pub async fn length(&self, name: &str, id: &str) -> Result<u64, UploadError> {
        Ok(self.slot(name, id)?.upload.lock().await.length)
    }

    /// Adds bytes to an upload. `from` is where they begin, if the client says so. Answers how many bytes there are now.
    ///
    /// # Errors
    /// If there is no such upload, the bytes do not follow, are too many, break off, or the disk fails.
    pub async fn append<E: fmt::Display>(
        &self,
        name: &str,
        id: &str,
        from: Option<u64>,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<u64, UploadError> {
        let slot = self.slot(name, id)?;
        let mut upload = slot.upload.lock().await;
        if from.is_some_and(|from| from != upload.length) {
            return Err(UploadError::Gap(upload.length));
        }
        // An earlier append that broke off may have left bytes that were never counted.
        let length = upload.length;
        upload.file.seek(SeekFrom::Start(length)).await?;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|error| UploadError::Body(error.to_string()))?;
            upload.write(&chunk).await?;
            slot.touch();
        }
        upload.file.flush().await?;
        Ok(upload.length)
    }

    /// Ends an upload: the bytes become the blob `digest`, which its repository holds.
    ///
    /// # Errors
    /// If there is no such upload, the content has another digest (it is then dropped), or the disk fails.
    pub async fn finish(&self, name: &str, id: &str, digest: &Digest) -> Result<(), UploadError> {
        self.end(name, id, Some(digest)).await.map(drop)
    }

    /// Ends an upload: the bytes become the blob of whatever digest they have.
    ///
    /// # Errors
    /// If there is no such upload, or the disk fails.
    pub async fn seal(&self, name: &str, id: &str) -> Result<Digest, UploadError> {
        self.end(name, id, None).await
    }

    async fn end(&self, name: &str, id: &str, wanted: Option<&Digest>) -> Result<Digest, UploadError> {
        let slot = self.taken(name, id)?;
        let mut upload = slot.upload.lock().await;
        let is = Digest::from_hasher(upload.hasher.clone());
        if wanted.is_some_and(|wanted| is != *wanted) {
            fs::remove_file(&upload.path).await?;
            return Err(UploadError::Mismatch(is));
        }
        upload.file.flush().await?;
        upload.file.set_len(upload.length).await?;
        upload.file.sync_all().await?;
        install(&upload.path, &self.path(&is)).await?;
        self.link(name, &is).await?;
        Ok(is)
    }

    /// Drops an upload.
    ///
    /// # Errors
    /// If there is no such upload, or the disk fails.
    pub async fn cancel(&self, name: &str, id: &str) -> Result<(), UploadError> {
        let slot = self.taken(name, id)?;
        let upload = slot.upload.lock().await;
        Ok(fs::remove_file(&upload.path).await?)
    }

    /// Stores a small blob whole, in a repository. Answers its digest.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn put(&self, name: &str, content: &[u8]) -> io::Result<Digest> {
        let digest = self.put_content(content).await?;
        self.link(name, &digest).await?;
        Ok(digest)
    }

    async fn put_content(&self, content: &[u8]) -> io::Result<Digest> {
        let digest = Digest::of(content);
        self.write(&self.path(&digest), content).await?;
        Ok(digest)
    }

    /// Lets a repository hold a blob that is here.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn link(&self, name: &str, digest: &Digest) -> io::Result<()> {
        let path = self.repository(name).join(BLOBS).join(digest.hex());
        if fs::try_exists(&path).await? { Ok(()) } else { self.write(&path, b"").await }
    }

    /// Whether a repository holds a blob or manifest, and it is here.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn holds(&self, name: &str, digest: &Digest) -> io::Result<bool> {
        let repository = self.repository(name);
        for part in [BLOBS, MANIFESTS] {
            if found(fs::metadata(repository.join(part).join(digest.hex())).await)?.is_some() {
                return Ok(self.size(digest).await?.is_some());
            }
        }
        Ok(false)
    }

    /// The digests of the manifests of a repository.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) async fn manifests(&self, name: &str) -> io::Result<Vec<Digest>> {
        let names = names(&self.repository(name).join(MANIFESTS)).await?;
        Ok(names.into_iter().filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect())
    }

    /// Whether it was noted that every repository holds what its manifests refer to.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) async fn is_separated(&self) -> io::Result<bool> {
        fs::try_exists(self.inner.dir.join(SEPARATED)).await
    }

    /// Notes that every repository holds what its manifests refer to.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) async fn note_separated(&self) -> io::Result<()> {
        self.write(&self.inner.dir.join(SEPARATED), b"").await
    }

    /// Stores a manifest in a repository.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn put_manifest(&self, name: &str, media_type: &str, content: &[u8]) -> io::Result<Digest> {
        let digest = self.put_content(content).await?;
        let path = self.repository(name).join(MANIFESTS).join(digest.hex());
        self.write(&path, media_type.as_bytes()).await?;
        Ok(digest)
    }

    /// A manifest of a repository with its media type; `None` if it has none of this digest.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn manifest(&self, name: &str, digest: &Digest) -> io::Result<Option<(String, Bytes)>> {
        let path = self.repository(name).join(MANIFESTS).join(digest.hex());
        let Some(media_type) = found(fs::read_to_string(path).await)? else { return Ok(None) };
        let content = found(fs::read(self.path(digest)).await)?;
        Ok(content.map(|content| (media_type, content.into())))
    }

    /// Makes a tag mean a manifest.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn tag(&self, name: &str, tag: &str, digest: &Digest) -> io::Result<()> {
        self.write(&self.repository(name).join(TAGS).join(tag), digest.to_string().as_bytes()).await
    }

    /// What a tag means; `None` if there is no such tag.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn resolve(&self, name: &str, tag: &str) -> io::Result<Option<Digest>> {
        let text = found(fs::read_to_string(self.repository(name).join(TAGS).join(tag)).await)?;
        text.map(|text| text.parse().map_err(io::Error::other)).transpose()
    }

    /// Forgets a tag. Says whether there was one.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn untag(&self, name: &str, tag: &str) -> io::Result<bool> {
        let removed = fs::remove_file(self.repository(name).join(TAGS).join(tag)).await;
        Ok(found(removed)?.is_some())
    }

    /// Forgets a manifest of a repository and its tags. Says whether there was one.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn forget(&self, name: &str, digest: &Digest) -> io::Result<bool> {
        for tag in self.tags(name).await?.unwrap_or_default() {
            if self.resolve(name, &tag).await?.as_ref() == Some(digest) {
                self.untag(name, &tag).await?;
            }
        }
        let removed = fs::remove_file(self.repository(name).join(MANIFESTS).join(digest.hex())).await;
        Ok(found(removed)?.is_some())
    }

    /// The tags of a repository in order; `None` if there is no such repository.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn tags(&self, name: &str) -> io::Result<Option<Vec<String>>> {
        let repository = self.repository(name);
        if !fs::try_exists(repository.join(MANIFESTS)).await? {
            return Ok(None);
        }
        names(&repository.join(TAGS)).await.map(Some)
    }

    /// The names of all repositories in order.
    ///
    /// # Errors
    /// If the disk fails.
    pub async fn repositories(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut open = vec![String::new()];
        while let Some(name) = open.pop() {
            for part in names(&self.repository(&name)).await? {
                match part.as_str() {
                    MANIFESTS => found.push(name.clone()),
                    TAGS | BLOBS => {}
                    _ if name.is_empty() => open.push(part),
                    _ => open.push(format!("{name}/{part}")),
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes a small file so that it is either there whole or not at all.
    async fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).await?;
        }
        let beside = self.inner.dir.join("uploads").join(uuid::Uuid::new_v4().to_string());
        let mut file = File::create_new(&beside).await?;
        file.write_all(content).await?;
        file.flush().await?;
        file.sync_all().await?;
        install(&beside, path).await
    }
}

impl Slot {
    fn touch(&self) {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // What was installed is no longer there, and what was given up is of no use; failing costs only disk space until
        // the next start.
        let _ = std::fs::remove_file(&self.upload.get_mut().path);
    }
}

impl Upload {
    async fn write(&mut self, chunk: &[u8]) -> Result<(), UploadError> {
        let length = self.length + chunk.len() as u64;
        if length > BLOB_BYTES_MAX {
            return Err(UploadError::TooLarge);
        }
        self.file.write_all(chunk).await?;
        self.hasher.update(chunk);
        self.length = length;
        Ok(())
    }
}

/// The first bytes of a range of a file.
fn piece(path: &Path, range: &Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end - range.start).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
    let mut bytes = vec![0; length];
    std::fs::File::open(path)?.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

/// What is not there is no failure.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names in a directory in order; none if there is no such directory.
async fn names(dir: &Path) -> io::Result<Vec<String>> {
    let Some(mut entries) = found(fs::read_dir(dir).await)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Moves a durable file to where it belongs, and makes the move durable.
async fn install(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to).await?;
    let Some(dir) = to.parent() else { return Ok(()) };
    File::open(dir).await?.sync_all().await
}
