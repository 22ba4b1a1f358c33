//! Requests and certificates as others make them, and as they would have us read them.
#![expect(clippy::unwrap_used, reason = "tests")]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PublicKeyData as _, SanType};

use super::{PublicKey, Request, end_of, fault_of_certificates, faults_of_authorities, pem};

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn params(common_name: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    // The library has one of a sort; another spelling of the same sort makes a second one.
    let sorts = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    sorts.into_iter().zip(groups).for_each(|(sort, group)| params.distinguished_name.push(sort, *group));
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn read(params: &CertificateParams, key: &KeyPair) -> Result<Request, String> {
    Request::read(params.serialize_request(key).unwrap().pem().unwrap().as_bytes())
}

fn replaced(der: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = der.windows(old.len()).position(|window| window == old).unwrap();
    [&der[..at], new, &der[at + old.len()..]].concat()
}

#[test]
fn a_request_says_who_and_under_which_names() {
    let mut asked = params("ada", &["readers", "writers"]);
    asked.subject_alt_names = vec![
        SanType::DnsName("ada.example".try_into().unwrap()),
        SanType::IpAddress([10, 0, 0, 1].into()),
        SanType::Rfc822Name("ada@example.org".try_into().unwrap()),
        SanType::URI("spiffe://house/ada".try_into().unwrap()),
    ];
    let key = key();
    let request = read(&asked, &key).unwrap();
    assert_eq!(request.subject.common_name, "ada");
    assert_eq!(request.subject.organizations, ["readers", "writers"]);
    assert!(!request.subject.is_doubtful && request.subject.others.is_empty());
    let names = &request.names;
    assert_eq!((names.dns.as_slice(), names.unknown), (&["ada.example".to_owned()][..], 0));
    assert_eq!((names.ips.len(), names.emails.len(), names.uris.len()), (1, 1, 1));
    assert_eq!((request.key, request.key_der), (PublicKey::Ecdsa, key.subject_public_key_info()));
}

#[test]
fn a_request_for_the_key_of_somebody_else_is_none() {
    let (mine, theirs) = (key(), key());
    let der = params("ada", &[]).serialize_request(&mine).unwrap().der().to_vec();
    let stolen = replaced(&der, mine.der_bytes(), theirs.der_bytes());
    let refused = Request::read(pem::encode("CERTIFICATE REQUEST", &stolen).as_bytes()).unwrap_err();
    assert!(refused.contains("the signature is not that of the key"), "{refused}");
    let renamed = replaced(&der, b"ada", b"bob");
    assert!(Request::read(pem::encode("CERTIFICATE REQUEST", &renamed).as_bytes()).is_err());
}

#[test]
fn what_is_no_request_is_refused_with_a_reason() {
    let good = params("ada", &[]).serialize_request(&key()).unwrap().pem().unwrap();
    let trailing = {
        let block = pem::blocks(good.as_bytes()).next().unwrap();
        pem::encode("CERTIFICATE REQUEST", &[&block.bytes[..], b"\0"].concat())
    };
    for (text, why) in [
        (String::new(), "PEM block type must be CERTIFICATE REQUEST"),
        ("garbage".to_owned(), "PEM block type must be CERTIFICATE REQUEST"),
        (good.replace("CERTIFICATE REQUEST", "CERTIFICATE"), "PEM block type must be CERTIFICATE REQUEST"),
        (good.replace("-----END CERTIFICATE REQUEST-----", ""), "PEM block type must be CERTIFICATE REQUEST"),
        (pem::encode("CERTIFICATE REQUEST", b""), "malformed certificate request"),
        (pem::encode("CERTIFICATE REQUEST", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), "malformed certificate request"),
        (trailing, "trailing data"),
        (format!("{good}{}", " ".repeat(super::REQUEST_BYTES_MAX)), "must be no longer than 65536 bytes"),
    ] {
        let refused = Request::read(text.as_bytes()).unwrap_err();
        assert!(refused.contains(why), "{text:.60}: {refused}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_doubtful() {
    let mut twice = params("ada", &[]);
    twice.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "root");
    assert!(read(&twice, &key()).unwrap().subject.is_doubtful);
    let strange = rcgen::string::BmpString::try_from("system:masters").unwrap();
    let mut hidden = params("ada", &[]);
    hidden.distinguished_name.push(DnType::OrganizationName, rcgen::DnValue::BmpString(strange));
    assert!(read(&hidden, &key()).unwrap().subject.is_doubtful, "others would read the group");
    let mut more = params("ada", &[]);
    more.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), "uid-1");
    assert_eq!(read(&more, &key()).unwrap().subject.others, ["2.5.4.5"]);
}

#[test]
fn certificates_are_told_from_what_is_none() {
    let made = params("ada", &[]).self_signed(&key()).unwrap().pem();
    assert_eq!(fault_of_certificates(made.as_bytes()), None);
    assert_eq!(fault_of_certificates(format!("# whose it is\n{made}\nand more\n{made}").as_bytes()), None);
    for (text, why) in [
        ("".to_owned(), "must contain at least one CERTIFICATE PEM block"),
        (made.replace("CERTIFICATE", "PRIVATE KEY"), "only CERTIFICATE PEM blocks are allowed, found \"PRIVATE KEY\""),
        (made.replace("CERTIFICATE-----\n", "CERTIFICATE-----\nProc-Type: 4\n"), "no PEM block headers are permitted"),
        (pem::encode("CERTIFICATE", b"nothing"), "malformed certificate"),
    ] {
        let found = fault_of_certificates(text.as_bytes()).unwrap();
        assert!(found.contains(why), "{found}");
    }
    assert!(end_of(made.as_bytes()).is_some_and(|end| end.0 > 0));
    assert_eq!(end_of(b"nothing"), None);
}

#[test]
fn a_bundle_holds_authorities_and_each_once() {
    let authority = |name: &str| {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&key()).unwrap().pem()
    };
    let (one, two) = (authority("one"), authority("two"));
    let leaf = params("ada", &[]).self_signed(&key()).unwrap().pem();
    let faults = |text: &str| faults_of_authorities(text.as_bytes());
    assert!(faults(&format!("{one}{two}")).is_empty());
    assert_eq!(faults(""), ["at least one trust anchor must be provided"]);
    assert_eq!(faults(&format!("{one}{two}{one}")), ["duplicate trust anchor (indices [0 2])"]);
    assert_eq!(faults(&format!("{one}{leaf}")), ["entry 1 does not have the CA bit set"]);
    assert_eq!(faults(&pem::encode("CERTIFICATE", b"x")), ["entry 0 does not parse as X.509"]);
    assert_eq!(faults(&one.replace("CERTIFICATE", "X")), ["entry 0 has bad block type: X"]);
}

#[test]
fn pem_is_read_as_it_is_written() {
    for length in [0, 1, 47, 48, 49, 1000] {
        let bytes = vec![7; length];
        let text = pem::encode("X", &bytes);
        assert!(text.lines().all(|line| line.len() <= 64));
        let block = pem::Block { label: "X".to_owned(), has_headers: false, bytes };
        assert!(pem::blocks(text.as_bytes()).eq([block.clone()]));
        // What begins and does not end is passed over, and so are other line ends.
        let among = format!("-----BEGIN X-----\nAAAA\n{}-----BEGIN Y-----\n", text.replace('\n', "\r\n"));
        assert!(pem::blocks(among.as_bytes()).eq([block]));
    }
}

/// Requests that OpenSSL made, with keys of many sorts.
const BY_OPENSSL: [(&str, &str, Result<(), &str>); 6] = [
    (
        "P-256",
        "MIG6MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABM5BPshj2woUyzofmM/CFCWBpDg/Jhw7JDE5Z7DSKcEsH2TMBsTy+xcDUkgR3DrNpAmLEME+RZ0tgAy6gc5nRNCgADAKBggqhkjOPQQDAgNIADBFAiBIlHeunV131vMWzBITo181ADZUoP+c7Spgx4xF7aJJGwIhAPkqkvAAsYndQSmladGNWT8QqprKsL8UoY3/Sm5lUtms",
        Ok(()),
    ),
    (
        "P-384",
        "MIH2MH8CAQAwADB2MBAGByqGSM49AgEGBSuBBAAiA2IABChM3a58d6AWJh+V9qNttQnwwXDgww0DO9uFuyZiywqRbm17DD5zCI56x33OYNkWQn4H2l4u1IBYtAFQZIsw8Dd3JhPHi93Kba13/G0LvHNofBv8r7eeTs53GvGVdWpcUqAAMAoGCCqGSM49BAMCA2cAMGQCMA7vSPyjkoLjgXkFARD/BZ0MmXrjhtbRelJKqTOcnUkLFQbTyX3abojdZ7esj+MXWAIwG/+RkmvEeSReLEGumEJxmSkuIyIkNlfQoiCEp5TCoAwtYmbIQtmrLxP07svuzxoj",
        Ok(()),
    ),
    (
        "Ed25519",
        "MH8wMwIBADAAMCowBQYDK2VwAyEAbTnjcyaFSujnxU0b5Zwkpn3daKJoMNFJHTa7fgBHUWugADAFBgMrZXADQQAhf3+V/MqSPWRpsU1rVXcyK0R1bSEGXIJ6qDTqcO9H1MwddcBGynHIhaLD1zTTIHHaIADVW9i59yFkZRfSsMcK",
        Ok(()),
    ),
    (
        "RSA 3072",
        "MIIDRTCCAa0CAQAwADCCAaIwDQYJKoZIhvcNAQEBBQADggGPADCCAYoCggGBALZK8FQA5TRE/FdhwczNTnCJusImYoirv0nrBDKk3+fty0fiFunNVMO5ogLa8V1W5Ph29X1mC8fYANEBQwnnxKoNPdpDUkhOQ+uzIBSH67fSiG3TgFl3ZR7PrLHUhk67fWVKP/VQVgM8JF4mBMHUcAJY7/LTtEYhr063bDKe9Cq6HEgt4qsbkWy7LKH9Nbj/4LcqWa2aj7BpHylOrwBM0GcotWAeMBY25L5MyhHaDNjcgO4FQXF3hTwGbNU9kzVJAu9gF1Hc8xydYKqGR/FM7eHwkyVKmypGlm+hvHevxjxXZzAV8jP8dyNAOs8MGBbEpwurMXDlz8uTWaR8E0FaZp5pRBTCUMSspxqwgrYHtPYZcLWt2fSgZd4vzUXIj8SjgB7/NJVfC3EJCB18i8sFqkBRgHZGxGrPX33Io9rEwB7n4zOqu/KZn1AbFbvYYfcik6EIxNa4OUtoYGD6GtUIKU/FXpZF0jyqh+oiWNY7T0GpXBYvb5QFSzPSaAmRfmMPlQIDAQABoAAwDQYJKoZIhvcNAQELBQADggGBABcX/E9Ts73Qv6bq8zR+TH2M2Z3dBqxgYVJT9Bf8ZIlzJf8Gqvy0clK00jBJXrn8gxzWvc2Uq7M1E1dKFXgzCFmoz3XgLaeCuZb9hwhafOQnLEyv/cAbWcNuGPRYfoOLkbNIjguNPetjZrfdiuARABT5qSdmv4GE8n/tFuSgXa4QrWuVQjFV9ruSVeiY9vjVsdq8Myp654g5Akh6ra0Tz97cGgdwIQZs6GTh5ZjkIvBkJYy6fcJ3r8vavMwm1YWlieTcrFd9oihE6KaciKrLNFmWIhAv5Z4WscFOVoX1mcy6Ytm9beBL640ln7vnOxcujELh0ptT88g8WrN5Nb3P5zkbztkl2SgAr10DTJP8I137wZo4Vrv7xDalmays2uGyZJipXQgBHR/khIot+poP3Lc6Vb/47JY/CInA1+kdv7l//DsA5N/JcrqQbZSv5zAU6Oiqcx8Y7ZvseBqjfm/d64zl40bHgcyGdskxtPlE50+0mN+LI70caAjmslywSVn31A==",
        Ok(()),
    ),
    (
        "RSA 2048",
        "MIICRTCCAS0CAQAwADCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAJpaMaw7b6wcN12hdvyO3h2XN5s+N1PEuPRBTj/RXLZ6f4LAQWVf0DLZZoPz9WAqdeR9Ov9gyt0TWlfh1KaJjSw1ubxhpE32f9sA2qHVXF4Ne/s+burgaA1wFOv5J+qcbPU3ThImejm08PJ8noJzDH1tDtfiacTEw6jyL7byOVo5/bfDmYpZixdsEKb3zl7Si3Wf29xBjz5lNw7wY92EZXsAPj5OWoJbV2wZs4cDS/xHgfMLaGdFNJQTPtNStYwbBtNps0JgEmmbq0S9VuYQupqTWVEa8sr3e9D4ZOJRdZP4QLXsRPE7hXAbLf1yDSWzS2hECaeIhQgX6vDTMaHIv8cCAwEAAaAAMA0GCSqGSIb3DQEBCwUAA4IBAQCJRVhsY+Cq2fFkJGEEPN1ox+1pV6x5/CJMrJ/KsU5YYpNRhsaD4Yi/rIGCMuCA5KwLPOuTvtV3CYCuzUkmawYr8OAibuKavj1kFcx84mkVX10oVetU17avR3TETZGQOocQPHpVGY0gIxxkSwdxiBEn40uRcUdwgjhexwJichZ1Md7aTFjm5nya2m6MVl1bSL8r26wcuBc/8I4HokPfRZ4iO38cciPUEjcbGShYIkDixWloYMDco6RnhKVD09evOLXwQ+1AS/Rb3ykBRVL0NdAmUWhvFw4jSN2xWAH5e93fVVgVQqzYJY48RjxHxI3NHqK10O286G9sEnsBjMHR5lxj",
        Err("RSA keys must have modulus size 3072 or 4096"),
    ),
    (
        "secp256k1",
        "MIG3MF8CAQAwADBWMBAGByqGSM49AgEGBSuBBAAKA0IABO2keQCWtaNtYGEHyWBFxPDd0su0yodsOgca0rwfP7/l0sF8tCcAWAY6rFjbhoh8ilC9bxjW7jWj8hUxleqRxwmgADAKBggqhkjOPQQDAgNIADBFAiEAyIG6v2S1BenMlXTh4Xbg2/Zx2VJGiE7OIyIK/knHGn4CIFzfPW+ZS95aummdxjgxPCXchp6kQduTWJCLVOluxWKp",
        Err("elliptic public keys must use curve P256 or P384"),
    ),
];

#[test]
fn requests_of_pods_are_for_keys_that_can_be_checked_and_are_signed_with_them() {
    for (sort, text, expected) in BY_OPENSSL {
        let bytes = BASE64_STANDARD.decode(text).unwrap();
        let read = Request::of_pod(&bytes);
        match expected {
            Ok(()) => assert!(read.is_ok(), "{sort}: {read:?}"),
            Err(why) => assert!(read.unwrap_err().contains(why), "{sort}"),
        }
        if expected.is_ok() {
            let mut forged = bytes.clone();
            *forged.last_mut().unwrap() ^= 1;
            assert_eq!(Request::of_pod(&forged).unwrap_err(), "invalid signature", "{sort}");
        }
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(Request::of_pod(&bytes[..cut]).unwrap_err(), "must be a valid PKCS#10 CSR", "{sort}");
        }
    }
}
