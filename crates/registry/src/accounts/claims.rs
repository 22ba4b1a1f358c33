//! What a token says: Kubernetes' claims of a ServiceAccount, and what is asked of them.

use std::collections::BTreeMap;

use api::Timestamp;
use serde::{Deserialize, Serialize};

use super::jose::BadToken;
use crate::access::User;

/// Who signs tokens, and the audience that masters themselves are: the name that kubeadm gives as well.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Begins the name of a ServiceAccount as a user.
const USER_PREFIX: &str = "system:serviceaccount:";

/// The groups of a ServiceAccount; before the second a namespace is added to the end.
const ACCOUNTS: &str = "system:serviceaccounts";
const AUTHENTICATED: &str = "system:authenticated";

/// Masters' clocks may differ by so much, in seconds: a token counts from a little before it was made.
const CLOCK_SKEW_S: i64 = 60;

/// Everything that a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// For whom it is.
    pub(crate) aud: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub(crate) exp: i64,
    /// When it was made.
    pub(crate) iat: i64,
    /// Who made it.
    pub(crate) iss: String,
    /// Which token it is.
    pub(crate) jti: String,
    /// Of what it speaks.
    #[serde(rename = "kubernetes.io")]
    pub(crate) about: About,
    /// From when on it counts.
    pub(crate) nbf: i64,
    /// Whose it is.
    pub(crate) sub: String,
}

/// The objects of which a token speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The namespace of all but the node.
    pub(crate) namespace: String,
    /// The node to which it is bound, or that of its Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Named>,
    /// The Pod to which it is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Named>,
    /// The Secret to which it is bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Named>,
    /// The account.
    pub(crate) serviceaccount: Named,
    /// When somebody should be warned who still uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warnafter: Option<i64>,
}

/// An object, and which of all that had its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: String,
    /// Its uid.
    #[serde(default)]
    pub(crate) uid: String,
}

/// Why claims that were signed do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Somebody else made it.
    #[error("another cluster made it")]
    Issuer,
    /// It is for others.
    #[error("it is for another audience")]
    Audience,
    /// It has ended.
    #[error("it has expired; ask for a new one")]
    Expired,
    /// It has not begun.
    #[error("it does not count yet; compare the clocks of this master and of the one that made it")]
    Early,
}

impl Claims {
    /// Reads claims whose signature fitted.
    pub(crate) fn read(json: &[u8]) -> Result<Self, BadToken> {
        let claims: Self = serde_json::from_slice(json).map_err(|_| BadToken::Claims)?;
        if claims.sub == user_name(&claims.about) { Ok(claims) } else { Err(BadToken::Claims) }
    }

    /// Allows them at some time, for one of some audiences.
    pub(crate) fn check(&self, now: Timestamp, audiences: &[String]) -> Result<(), Refused> {
        let now = seconds(now);
        if self.iss != ISSUER {
            return Err(Refused::Issuer);
        }
        if self.exp <= now {
            return Err(Refused::Expired);
        }
        if self.nbf > now.saturating_add(CLOCK_SKEW_S) {
            return Err(Refused::Early);
        }
        if self.audiences(audiences).next().is_none() { Err(Refused::Audience) } else { Ok(()) }
    }

    /// Those of some audiences for which it is.
    pub(crate) fn audiences<'a>(&'a self, of: &'a [String]) -> impl Iterator<Item = &'a String> {
        of.iter().filter(|audience| self.aud.contains(audience))
    }

    /// The user that it stands for, in Kubernetes' words.
    pub(crate) fn user(&self) -> User {
        let About { namespace, serviceaccount, pod, node, .. } = &self.about;
        let mut extra = BTreeMap::from([(extra_key("credential-id"), vec![format!("JTI={}", self.jti)])]);
        for (what, named) in [("pod", pod), ("node", node)] {
            let Some(Named { name, uid }) = named else { continue };
            extra.insert(extra_key(&format!("{what}-name")), vec![name.clone()]);
            extra.insert(extra_key(&format!("{what}-uid")), vec![uid.clone()]);
        }
        let account = user_of(namespace, &serviceaccount.name);
        User { name: self.sub.clone(), uid: serviceaccount.uid.clone(), extra, ..account }
    }
}

/// The user that an account is, as far as its name tells.
pub(super) fn user_of(namespace: &str, name: &str) -> User {
    let groups = vec![ACCOUNTS.to_owned(), format!("{ACCOUNTS}:{namespace}"), AUTHENTICATED.to_owned()];
    User { name: named_user(namespace, name), groups, ..User::default() }
}

fn extra_key(name: &str) -> String {
    format!("authentication.kubernetes.io/{name}")
}

/// The name of an account as a user.
pub(crate) fn user_name(about: &About) -> String {
    named_user(&about.namespace, &about.serviceaccount.name)
}

fn named_user(namespace: &str, name: &str) -> String {
    format!("{USER_PREFIX}{namespace}:{name}")
}

/// A time as claims have it.
pub(crate) fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1000)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn named(name: &str) -> Named {
        Named { name: name.to_owned(), uid: format!("{name}-uid") }
    }

    fn claims() -> Claims {
        let about = About {
            namespace: "shop".to_owned(),
            node: Some(named("n1")),
            pod: Some(named("p1")),
            secret: None,
            serviceaccount: named("till"),
            warnafter: None,
        };
        let sub = user_name(&about);
        let aud = vec![ISSUER.to_owned(), "vault".to_owned()];
        Claims { aud, exp: 200, iat: 100, iss: ISSUER.to_owned(), jti: "j".to_owned(), about, nbf: 100, sub }
    }

    fn checked(claims: &Claims, second: i64, audience: &str) -> Result<(), Refused> {
        claims.check(Timestamp(second * 1000), &[audience.to_owned()])
    }

    #[test]
    fn they_count_for_their_audiences_from_their_beginning_to_their_end() {
        let claims = claims();
        assert_eq!(checked(&claims, 100, ISSUER), Ok(()));
        assert_eq!(checked(&claims, 199, "vault"), Ok(()));
        assert_eq!(checked(&claims, 200, ISSUER), Err(Refused::Expired));
        assert_eq!(checked(&claims, 100 - CLOCK_SKEW_S, ISSUER), Ok(()), "the other master's clock goes ahead");
        assert_eq!(checked(&claims, 99 - CLOCK_SKEW_S, ISSUER), Err(Refused::Early));
        for other in ["", "Vault", "vaul", "https://kubernetes.default.svc"] {
            assert_eq!(checked(&claims, 150, other), Err(Refused::Audience), "{other}");
        }
        assert_eq!(claims.check(Timestamp(150_000), &[]), Err(Refused::Audience));
        let foreign = Claims { iss: "https://elsewhere".to_owned(), ..claims };
        assert_eq!(checked(&foreign, 150, ISSUER), Err(Refused::Issuer));
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let json = serde_json::to_string(&claims()).unwrap();
        assert_eq!(Claims::read(json.as_bytes()), Ok(claims()));
        for (from, to) in [
            (r#""exp":200"#, r#""exp":200,"exp":300"#),
            (r#""sub":"#, r#""sub":"system:serviceaccount:a:b","sub":"#),
            (r#""name":"till""#, r#""name":"other""#),
            (r#""name":"till""#, r#""name":"till","name":"till""#),
            (r#""exp":200"#, r#""exp":"200""#),
            (r#""exp":200,"#, ""),
            (r#""exp":200"#, r#""exp":1e400"#),
            ("system:serviceaccount:shop:till", "system:serviceaccount:kube-system:till"),
        ] {
            let changed = json.replacen(from, to, 1);
            assert_ne!(changed, json, "{from}");
            assert_eq!(Claims::read(changed.as_bytes()), Err(BadToken::Claims), "{to}");
        }
    }

    #[test]
    fn the_user_is_kubernetes_own() {
        let user = claims().user();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:shop:till", "till-uid"));
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"]);
        let extra: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key}={}", values.join(","))).collect();
        let begin = "authentication.kubernetes.io/";
        assert_eq!(
            extra,
            ["credential-id=JTI=j", "node-name=n1", "node-uid=n1-uid", "pod-name=p1", "pod-uid=p1-uid"]
                .map(|rest| format!("{begin}{rest}"))
        );
    }
}
