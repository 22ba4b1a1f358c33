//! Certificates whose subject others have chosen, spelled byte by byte: a name may have several groups, which the library that
//! makes our own certificates has no words for.

use api::{
    Timestamp,
    x509::{CERTIFICATE, POD_IDENTITY, Template, Usage, der, pem},
};
use rcgen::{PKCS_ECDSA_P256_SHA256, SigningKey as _};
use rustls_pki_types::CertificateDer;
use x509_parser::{
    extensions::ParsedExtension,
    prelude::{FromDer as _, X509Certificate},
};

use super::IdentityError;

/// `ecdsa-with-SHA256`: with that every authority of ours signs.
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Extensions: 2.5.29 and these.
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const AUTHORITY_KEY: &[u8] = &[0x55, 0x1d, 0x23];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

/// Purposes: 1.3.6.1.5.5.7.3 and these.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// Bits of the usage of a key, the first one highest.
const DIGITAL_SIGNATURE: u8 = 0x80;
const KEY_ENCIPHERMENT: u8 = 0x20;

/// How long a serial number is, in bytes: enough that none comes twice.
const SERIAL_BYTES: usize = 16;

/// From 2050 on, times are written with four digits of the year.
const LONG_YEARS: Timestamp = Timestamp(2_524_608_000_000);

/// Signs a certificate, PEM.
///
/// # Errors
/// If the authority has ended or has another sort of key, or there is no randomness.
pub(super) fn certificate(
    template: &Template,
    authority: &CertificateDer<'_>,
    key: &rcgen::KeyPair,
) -> Result<String, IdentityError> {
    let (_, issuer) =
        X509Certificate::from_der(authority).map_err(|error| IdentityError::malformed("certificate", error))?;
    if *key.algorithm() != PKCS_ECDSA_P256_SHA256 {
        return Err(IdentityError::malformed("authority", "its key is not on the curve P-256"));
    }
    let end = Timestamp(issuer.validity().not_after.timestamp().saturating_mul(1000));
    let until = template.until.min(end);
    if until <= template.from {
        return Err(IdentityError::malformed("authority", format!("it has ended at {end}")));
    }
    let algorithm = der::value(der::SEQUENCE, &der::value(der::OBJECT_IDENTIFIER, ECDSA_SHA256));
    let body = der::group(
        der::SEQUENCE,
        &[
            // Version 3.
            der::value(der::explicit(0), &der::value(der::INTEGER, &[2])),
            der::value(der::INTEGER, &serial()?),
            algorithm.clone(),
            issuer.subject().as_raw().to_vec(),
            der::group(der::SEQUENCE, &[time(template.from), time(until)]),
            template.subject.clone(),
            template.key.clone(),
            der::value(der::explicit(3), &der::group(der::SEQUENCE, &extensions(template, &issuer))),
        ],
    );
    let signature = [&[0][..], &key.sign(&body)?].concat();
    let signed = der::group(der::SEQUENCE, &[body, algorithm, der::value(der::BIT_STRING, &signature)]);
    Ok(pem::encode(CERTIFICATE, &signed))
}

/// A random number that is not negative, and not zero.
fn serial() -> Result<[u8; SERIAL_BYTES], IdentityError> {
    let mut serial = [0; SERIAL_BYTES];
    getrandom::fill(&mut serial).map_err(|error| IdentityError::malformed("serial number", error))?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn time(time: Timestamp) -> Vec<u8> {
    let digits: String = time.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    if time < LONG_YEARS {
        der::value(der::UTC_TIME, format!("{}Z", digits.get(2..).unwrap_or_default()).as_bytes())
    } else {
        der::value(der::GENERALIZED_TIME, format!("{digits}Z").as_bytes())
    }
}

fn extensions(template: &Template, issuer: &X509Certificate<'_>) -> Vec<Vec<u8>> {
    let has = |usage| template.usages.contains(&usage);
    let of_key = [(Usage::DigitalSignature, DIGITAL_SIGNATURE), (Usage::KeyEncipherment, KEY_ENCIPHERMENT)];
    let bits = of_key.into_iter().filter(|(usage, _)| has(*usage)).fold(0, |bits, (_, bit)| bits | bit);
    let purposes = [(Usage::ServerAuth, SERVER_AUTH), (Usage::ClientAuth, CLIENT_AUTH)];
    let purposes = purposes.into_iter().filter(|(usage, _)| has(*usage));
    let purposes: Vec<Vec<u8>> = purposes.map(|(_, purpose)| der::value(der::OBJECT_IDENTIFIER, purpose)).collect();
    let mut extensions = Vec::new();
    if bits != 0 {
        let unused = bits.trailing_zeros().to_le_bytes()[0];
        extensions.push(extension(KEY_USAGE, true, &der::value(der::BIT_STRING, &[unused, bits])));
    }
    if !purposes.is_empty() {
        extensions.push(extension(EXTENDED_KEY_USAGE, false, &der::group(der::SEQUENCE, &purposes)));
    }
    // Nobody signs with it: an empty list says so.
    extensions.push(extension(BASIC_CONSTRAINTS, true, &der::value(der::SEQUENCE, &[])));
    if let Some(identifier) = key_identifier(issuer) {
        let identifier = der::value(der::SEQUENCE, &der::value(der::context(0), identifier));
        extensions.push(extension(AUTHORITY_KEY, false, &identifier));
    }
    if let Some(pod) = &template.pod {
        // Not critical: the library that checks certificates here refuses those with critical extensions which it does not know.
        // Nobody is misled who does not know it either, since such a certificate has no name.
        extensions.push(extension(POD_IDENTITY, false, &pod.der()));
    }
    if !template.names.is_empty() {
        extensions.push(extension(ALTERNATIVE_NAMES, false, &template.names.der()));
    }
    extensions
}

fn extension(identifier: &[u8], is_critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![der::value(der::OBJECT_IDENTIFIER, identifier)];
    if is_critical {
        parts.push(der::value(der::BOOLEAN, &[0xff]));
    }
    parts.push(der::value(der::OCTET_STRING, content));
    der::group(der::SEQUENCE, &parts)
}

fn key_identifier<'a>(issuer: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    issuer.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    })
}
