//! `test-service-account-issuer-discovery`: verifies the Pod's token by the keys that its issuer publishes, as somebody who
//! knows nothing but the issuer's name and the cluster's authority.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::{EncodedPoint, FieldBytes};
use serde_json::Value;

use crate::flags::Flags;
use crate::{client, give_up};

/// Where a Pod finds its own token and the authority of the cluster.
const OWN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub async fn main(flags: &Flags) {
    let path = flags.text("token-path").unwrap_or_else(|| give_up("--token-path is missing"));
    let token = std::fs::read_to_string(path).unwrap_or_else(|error| give_up(format!("{path}: {error}")));
    println!("OK: Got token");
    match verify(token.trim(), flags.text("audience").unwrap_or_default()).await {
        Ok(claims) => println!("OK: Got valid claims from token!\n{claims}"),
        Err(why) => give_up(why),
    }
}

async fn verify(token: &str, audience: &str) -> Result<Value, String> {
    let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { return Err("no JWT".into()) };
    let (header, claims) = (json(head)?, json(body)?);
    if header["alg"] != "ES256" {
        return Err(format!("it is signed by {}, and only ES256 is known here", header["alg"]));
    }
    let issuer = claims["iss"].as_str().ok_or("no issuer")?.to_owned();
    println!("OK: got issuer {issuer}");
    let document = document(&format!("{issuer}/.well-known/openid-configuration")).await?;
    if document["issuer"] != issuer.as_str() {
        return Err(format!("{issuer} publishes the document of {}", document["issuer"]));
    }
    println!("OK: Constructed OIDC provider for issuer {issuer}");
    let keys = self::document(document["jwks_uri"].as_str().ok_or("no jwks_uri")?).await?;
    let key = keys["keys"].as_array().and_then(|keys| keys.iter().find(|key| key["kid"] == header["kid"]));
    let key = key.ok_or_else(|| format!("no key {} in {keys}", header["kid"]))?;
    let signature = Signature::from_slice(&bytes(signature)?).map_err(|error| format!("the signature: {error}"))?;
    let signed = format!("{head}.{body}");
    verifying(key)?.verify(signed.as_bytes(), &signature).map_err(|error| format!("the signature: {error}"))?;
    println!("OK: Validated signature on JWT");
    let is_for = |one: &Value| one == audience;
    if !is_for(&claims["aud"]) && !claims["aud"].as_array().is_some_and(|all| all.iter().any(is_for)) {
        return Err(format!("it is for {}, not for {audience}", claims["aud"]));
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    if claims["exp"].as_u64().is_none_or(|end| end <= now) {
        return Err(format!("it ended at {}, and it is {now}", claims["exp"]));
    }
    Ok(claims)
}

/// A document of the API, which is asked as this Pod.
async fn document(url: &str) -> Result<Value, String> {
    let token = std::fs::read_to_string(format!("{OWN}/token")).map_err(|error| format!("{OWN}/token: {error}"))?;
    let text = client::get_secretly(url, &format!("{OWN}/ca.crt"), token.trim()).await?;
    serde_json::from_str(&text).map_err(|error| format!("{url}: {error}: {text}"))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("{text}: {error}"))
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_slice(&bytes(text)?).map_err(|error| format!("{text}: {error}"))
}

/// A key as a JWK, which has both of its coordinates.
fn verifying(key: &Value) -> Result<VerifyingKey, String> {
    let coordinate = |name: &str| {
        let found = bytes(key[name].as_str().unwrap_or_default())?;
        <[u8; 32]>::try_from(found).map(FieldBytes::from).map_err(|_| format!("{name} of {key} has not 32 bytes"))
    };
    let point = EncodedPoint::from_affine_coordinates(&coordinate("x")?, &coordinate("y")?, false);
    VerifyingKey::from_encoded_point(&point).map_err(|error| format!("{key}: {error}"))
}
