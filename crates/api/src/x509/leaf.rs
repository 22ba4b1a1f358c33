//! The first certificate of a chain, as far as anybody decides by it who has not made it.

use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

use super::{CERTIFICATE, pem};
use crate::Timestamp;

/// The first certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its key: `SubjectPublicKeyInfo` in DER.
    pub key_der: Vec<u8>,
    /// From when on it is valid.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Names of hosts.
    dns: Vec<String>,
    /// Addresses of mail.
    emails: Vec<String>,
}

impl Leaf {
    /// Reads the first certificate of a text that is to hold certificates and nothing else.
    ///
    /// # Errors
    /// Why it is no such text, in Kubernetes' words.
    pub fn of_chain(text: &str) -> Result<Self, &'static str> {
        let mut leaf = None;
        for block in pem::blocks(text.as_bytes()) {
            if block.label != CERTIFICATE {
                return Err("issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
            }
            let parsed = X509Certificate::from_der(&block.bytes).ok().filter(|(rest, _)| rest.is_empty());
            match (parsed, &leaf) {
                (Some((_, parsed)), None) => leaf = Some(Self::of(&parsed)),
                (Some(_), Some(_)) => {}
                (None, None) => return Err("leaf certificate does not parse as valid X.509"),
                (None, Some(_)) => return Err("intermediate certificate does not parse as valid X.509"),
            }
        }
        leaf.ok_or("issued certificate chain must contain at least one certificate")
    }

    fn of(parsed: &X509Certificate<'_>) -> Self {
        let (mut dns, mut emails) = (Vec::new(), Vec::new());
        let names = parsed.subject_alternative_name().ok().flatten();
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            if let GeneralName::DNSName(name) = name {
                dns.push((*name).to_owned());
            } else if let GeneralName::RFC822Name(name) = name {
                emails.push((*name).to_owned());
            }
        }
        let at = |seconds: i64| Timestamp(seconds.saturating_mul(1000));
        Self {
            key_der: parsed.public_key().raw.to_vec(),
            from: at(parsed.validity().not_before.timestamp()),
            until: at(parsed.validity().not_after.timestamp()),
            dns,
            emails,
        }
    }

    /// The names that readers could take for different ones, and why.
    pub fn doubtful_names(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let wrong = |name: &String| {
            if name.is_empty() {
                return Some("leaf certificate should not contain empty DNSName");
            }
            if name.contains("..") {
                return Some("leaf certificate's DNSName should not contain '..'");
            }
            let is_open = name.starts_with('.') || name.ends_with('.');
            is_open.then_some("leaf certificate's DNSName should not start or end with '.'")
        };
        let is_address = |name: &String| {
            let parts = name.rsplit_once('@').filter(|(who, host)| !who.is_empty() && !host.is_empty());
            parts.is_some_and(|_| !name.contains(char::is_whitespace))
        };
        let hosts = self.dns.iter().filter_map(move |name| Some((name.as_str(), wrong(name)?)));
        let mails = self.emails.iter().filter(move |name| !is_address(name));
        hosts.chain(mails.map(|name| (name.as_str(), "leaf certificate should not contain invalid EmailAddress")))
    }
}
