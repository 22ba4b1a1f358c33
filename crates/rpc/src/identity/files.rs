//! Keys and certificates as text in files.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::IdentityError;

/// The first certificate in PEM text.
pub(super) fn certificate_from_pem(text: &str) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(text.as_bytes()).map_err(|error| IdentityError::malformed("certificate", error))
}

/// The text of a file; nothing if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(IdentityError::Io { what: "read", path: path.to_owned(), source }),
    }
}

/// Writes a file for its owner only, whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    let io = |source| IdentityError::Io { what: "write", path: path.to_owned(), source };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(io)?;
    }
    let beside = path.with_extension("unfinished");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&beside, path).map_err(io)
}
