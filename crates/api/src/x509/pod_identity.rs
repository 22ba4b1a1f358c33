//! Which Pod the owner of a certificate is: an extension that Kubernetes' design of Pods' certificates (KEP-4317) defines, and
//! its number of the ones that were given to Kubernetes.

use super::der;

/// The extension: 1.3.6.1.4.1.57683.1.
pub const POD_IDENTITY: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xc2, 0x53, 0x01];

/// A Pod, and what it is by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodIdentity {
    /// The namespace.
    pub namespace: String,
    /// Its uid.
    pub namespace_uid: String,
    /// The ServiceAccount.
    pub service_account_name: String,
    /// Its uid.
    pub service_account_uid: String,
    /// The Pod.
    pub pod_name: String,
    /// Its uid.
    pub pod_uid: String,
    /// The node.
    pub node_name: String,
    /// Its uid.
    pub node_uid: String,
}

impl PodIdentity {
    /// The content of the extension: a sequence of texts, each under its number.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        let texts = [
            &self.namespace,
            &self.namespace_uid,
            &self.service_account_name,
            &self.service_account_uid,
            &self.pod_name,
            &self.pod_uid,
            &self.node_name,
            &self.node_uid,
        ];
        let part = |(number, text): (u8, &String)| der::value(der::context(number), text.as_bytes());
        der::group(der::SEQUENCE, &(0..).zip(texts).map(part).collect::<Vec<_>>())
    }

    /// Reads the content of the extension; `None` if it is anything else than what [`PodIdentity::der`] writes.
    #[must_use]
    pub fn read(content: &[u8]) -> Option<Self> {
        let (mut rest, behind) = der::take(der::SEQUENCE, content)?;
        let mut text = |number: u8| {
            let (text, behind) = der::take(der::context(number), rest)?;
            rest = behind;
            String::from_utf8(text.to_vec()).ok()
        };
        let read = Self {
            namespace: text(0)?,
            namespace_uid: text(1)?,
            service_account_name: text(2)?,
            service_account_uid: text(3)?,
            pod_name: text(4)?,
            pod_uid: text(5)?,
            node_name: text(6)?,
            node_uid: text(7)?,
        };
        (rest.is_empty() && behind.is_empty()).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn identity() -> PodIdentity {
        PodIdentity {
            namespace: "shop".to_owned(),
            namespace_uid: "n".to_owned(),
            service_account_name: "till".to_owned(),
            service_account_uid: "a".to_owned(),
            pod_name: "till-1".to_owned(),
            pod_uid: "p".repeat(200),
            node_name: "w1".to_owned(),
            node_uid: String::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let der = identity().der();
        assert_eq!(PodIdentity::read(&der), Some(identity()));
        for end in 0..der.len() {
            assert_eq!(PodIdentity::read(&der[..end]), None, "cut at {end}");
        }
        assert_eq!(PodIdentity::read(&[&der[..], &[0]].concat()), None, "something behind it");
        let swapped = identity().der().iter().map(|byte| if *byte == 0x80 { 0x81 } else { *byte }).collect::<Vec<_>>();
        assert_eq!(PodIdentity::read(&swapped), None);
    }

    #[test]
    fn each_part_stands_under_its_number() {
        let few = PodIdentity { pod_uid: "u".to_owned(), ..identity() };
        let by_hand = [
            &[0x30, 38][..],
            &[0x80, 4],
            b"shop",
            &[0x81, 1],
            b"n",
            &[0x82, 4],
            b"till",
            &[0x83, 1],
            b"a",
            &[0x84, 6],
            b"till-1",
            &[0x85, 1],
            b"u",
            &[0x86, 2],
            b"w1",
            &[0x87, 0],
        ]
        .concat();
        let expected_len = u8::try_from(by_hand.len() - 2).unwrap();
        let by_hand = [&[0x30, expected_len], &by_hand[2..]].concat();
        assert_eq!(few.der(), by_hand);
    }
}
