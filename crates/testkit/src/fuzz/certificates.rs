//! Certificates, and requests for them.

use api::x509::{self, PodIdentity, Request, pem};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{Scale, Verdict, texts::verdict};
use crate::Prng;

/// A request with names of every sort.
const REQUEST: &str = "MIIBdTCCARoCAQAwMjEQMA4GA1UECgwHcmVhZGVyczEQMA4GA1UECgwHd3JpdGVyczEMMAoGA1UEAwwDYWRhMFkwEwYHKoZIzj0CAQYIKoZI\
     zj0DAQcDQgAEMomm35eaTpnOvHKApppjChkd+8hkz8+CIZ0WM35+cT1p5XU2BOZxxzxfeQDAkiejYUWXbOWYItHWv+uvmEku36CBhTCBggYJ\
     KoZIhvcNAQkOMXUwczBTBgNVHREETDBKggthZGEuZXhhbXBsZYcECgAAAYcQ/QAAAAAAAAAAAAAAAAAAAYEPYWRhQGV4YW1wbGUub3JnhhJz\
     cGlmZmU6Ly9ob3VzZS9hZGEwDwYDVR0TAQH/BAUwAwEB/zALBgNVHQ8EBAMCB4AwCgYIKoZIzj0EAwIDSQAwRgIhAKeDDh1D+xwdI135WNls\
     NwOhiC+qaWJxgdZqi5ziycBlAiEAwhTIkfpnUYSuaOMIPRDK1SA4NMIQ2YNxKohDFC7xzBs=";

/// An authority.
const AUTHORITY: &str = "MIIBdzCCAR2gAwIBAgIUCttIYVojXxXKZCyPJ14QlRq+m3UwCgYIKoZIzj0EAwIwEDEOMAwGA1UEAwwFaG91c2UwIBcNMjYxMTMwMTkwODI2\
     WhgPMjEyNjExMDYxOTA4MjZaMBAxDjAMBgNVBAMMBWhvdXNlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEMomm35eaTpnOvHKApppjChkd\
     +8hkz8+CIZ0WM35+cT1p5XU2BOZxxzxfeQDAkiejYUWXbOWYItHWv+uvmEku36NTMFEwHQYDVR0OBBYEFFlQCI+1DJq+6GTF25dpX3KIEEip\
     MB8GA1UdIwQYMBaAFFlQCI+1DJq+6GTF25dpX3KIEEipMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAPig7QOikSwSTssL\
     lh5dx3RB0HzUGFHqWpJ61X4Xd/LEAiAewDe9Cj+7uzDYwmi4kTCzLa5i6+c8vhjZJAjKcB+uwg==";

pub(super) fn requests(_: &mut Prng) -> Vec<Vec<u8>> {
    vec![BASE64_STANDARD.decode(REQUEST).unwrap_or_default()]
}

/// What is damaged is read as far as it goes; a request that is proven is the one that was not damaged.
pub(super) fn read_request(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let read = scale.weigh(|| Request::unproven(input));
    if let (Ok(of_pod), Ok(read)) = (scale.weigh(|| Request::of_pod(input)), &read)
        && of_pod != *read
    {
        return Err(format!("{of_pod:?} for a Pod, and {read:?}"));
    }
    let text = pem::encode("CERTIFICATE REQUEST", input);
    let proven = scale.weigh(|| Request::read(text.as_bytes()));
    match (read, proven) {
        (Ok(read), Ok(proven)) if read == proven => Ok(Verdict::Accepted),
        (Ok(read), Err(_)) => {
            _ = scale.weigh(|| read.names.der());
            Ok(Verdict::Refused)
        }
        (Err(_), Err(_)) => Ok(Verdict::Refused),
        (read, proven) => Err(format!("proven {proven:?} and not {read:?}")),
    }
}

pub(super) fn identities(_: &mut Prng) -> Vec<Vec<u8>> {
    let pod = PodIdentity {
        namespace: "shop".to_owned(),
        service_account_name: "till".to_owned(),
        pod_name: "till-1".to_owned(),
        pod_uid: "7b0f8a3e-8e0b-4b54-9e0a-2a8f6b1d7c11".repeat(5),
        ..PodIdentity::default()
    };
    vec![pod.der(), PodIdentity::default().der()]
}

/// What is read is written in the same bytes: no two readers see two Pods.
pub(super) fn read_identity(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    match scale.weigh(|| PodIdentity::read(input)) {
        Some(pod) if pod.der() == *input => Ok(Verdict::Accepted),
        Some(pod) => Err(format!("another spelling of {pod:?}")),
        None => Ok(Verdict::Refused),
    }
}

pub(super) fn bundles(_: &mut Prng) -> Vec<Vec<u8>> {
    let authority = pem::encode(x509::CERTIFICATE, &BASE64_STANDARD.decode(AUTHORITY).unwrap_or_default());
    vec![authority.clone().into_bytes(), format!("# ours\n-----BEGIN X-----\n{authority}\nand more").into_bytes()]
}

/// What is a bundle of authorities is one of certificates, and its first one ends at some time.
pub(super) fn read_bundle(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let are_authorities = scale.weigh(|| x509::faults_of_authorities(input).is_empty());
    let are_certificates = scale.weigh(|| x509::fault_of_certificates(input).is_none());
    let end = scale.weigh(|| x509::end_of(input));
    if let Ok(text) = std::str::from_utf8(input) {
        let leaf = scale.weigh(|| x509::Leaf::of_chain(text));
        if leaf.is_ok_and(|leaf| Some(leaf.until) != end) {
            return Err("a chain that ends at another time than its first certificate".to_owned());
        }
    }
    if are_authorities && !(are_certificates && end.is_some()) {
        return Err("authorities that are no certificates".to_owned());
    }
    Ok(verdict(are_authorities))
}
