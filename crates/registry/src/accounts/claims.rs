//! What a token says, and what is asked of that. Who made it says of which sort it is: those of ServiceAccounts have Kubernetes'
//! claims, of now or, if they stand in Secrets, of before; those of Users have our own.

use std::collections::BTreeMap;

use api::{
    Timestamp,
    users::{AUTHENTICATED, service_account, service_account_groups},
};
use serde::{Deserialize, Serialize, Serializer};

use super::jose::BadToken;
use crate::access::User;

/// Who signs tokens, and the audience that masters themselves are: the name that kubeadm gives as well.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Who signs the tokens of Users. The keys are the same; whoever believes them by the issuer that is published, as OpenID Connect
/// has it, believes no token of a User.
const USERS_ISSUER: &str = "https://kubernetes.default.svc.cluster.local/users";

/// Who signs the tokens that stand in Secrets: Kubernetes' name for itself before tokens had ends.
const SECRETS_ISSUER: &str = "kubernetes/serviceaccount";

/// Masters' clocks may differ by so much, in seconds: a token counts from a little before it was made.
const CLOCK_SKEW_S: i64 = 60;

/// Everything that a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    /// For whom it is.
    pub(crate) aud: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub(crate) exp: i64,
    /// When it was made, and from when on it counts.
    pub(crate) iat: i64,
    /// Which token it is.
    pub(crate) jti: String,
    /// Of what it speaks. Who made it and whose it is follows from that.
    pub(crate) about: About,
}

/// Of what a token speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A ServiceAccount, and what the token is bound to.
    Account(OfAccount),
    /// A User.
    User(Named),
    /// A ServiceAccount, and the Secret in which the token stands.
    Secret(OfSecret),
}

/// Of what the token in a Secret speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfSecret {
    /// The namespace of both.
    pub(crate) namespace: String,
    /// The account.
    pub(crate) account: Named,
    /// The name of the Secret.
    pub(crate) secret: String,
    /// The token itself, which must stand in it. Empty where it is to be made.
    pub(crate) token: String,
}

/// The objects of which a ServiceAccount's token speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfAccount {
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

/// Claims as they are written. Exactly one of the two that are named by a domain is there.
#[derive(Serialize, Deserialize)]
struct Written {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kapelle.dev", default, skip_serializing_if = "Option::is_none")]
    of_user: Option<OfUser>,
    #[serde(rename = "kubernetes.io", default, skip_serializing_if = "Option::is_none")]
    of_account: Option<OfAccount>,
    nbf: i64,
    sub: String,
}

#[derive(Serialize, Deserialize)]
struct OfUser {
    user: Named,
}

/// The claims of a token in a Secret as they are written: it has no end, and is for masters.
#[derive(Serialize, Deserialize)]
struct InSecret {
    iss: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    name: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    uid: String,
    sub: String,
}

/// Who says to have made a token, whatever else it says.
#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

/// Why claims that were signed do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
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
    /// Reads the claims of a token whose signature fitted. Who says to have made it decides who knows of what it speaks.
    pub(crate) fn read(json: &[u8], token: &str) -> Result<Self, BadToken> {
        let Issuer { iss } = serde_json::from_slice(json).map_err(|_| BadToken::Claims)?;
        match iss.as_str() {
            ISSUER | USERS_ISSUER => Self::written(json),
            SECRETS_ISSUER => Self::in_secret(json, token),
            _ => Err(BadToken::Issuer),
        }
    }

    fn written(json: &[u8]) -> Result<Self, BadToken> {
        let Written { aud, exp, iat, iss, jti, of_user, of_account, nbf, sub } =
            serde_json::from_slice(json).map_err(|_| BadToken::Claims)?;
        let about = match (iss.as_str(), of_account, of_user) {
            (ISSUER, Some(account), None) => About::Account(account),
            (USERS_ISSUER, None, Some(OfUser { user })) => About::User(user),
            _ => return Err(BadToken::Claims),
        };
        let fits = sub == about.user_name() && nbf == iat;
        if fits { Ok(Self { aud, exp, iat, jti, about }) } else { Err(BadToken::Claims) }
    }

    fn in_secret(json: &[u8], token: &str) -> Result<Self, BadToken> {
        let InSecret { iss: _, namespace, secret, name, uid, sub } =
            serde_json::from_slice(json).map_err(|_| BadToken::Claims)?;
        let account = Named { name, uid };
        let claims = Self::of_secret(OfSecret { namespace, account, secret, token: token.to_owned() });
        if sub == claims.about.user_name() { Ok(claims) } else { Err(BadToken::Claims) }
    }

    /// Those of a token that stands in a Secret.
    pub(crate) fn of_secret(about: OfSecret) -> Self {
        let aud = vec![ISSUER.to_owned()];
        Self { aud, exp: i64::MAX, iat: 0, jti: String::new(), about: About::Secret(about) }
    }

    /// Allows them at some time, for one of some audiences.
    pub(crate) fn check(&self, now: Timestamp, audiences: &[impl AsRef<str>]) -> Result<(), Refused> {
        let now = seconds(now);
        if self.exp <= now {
            return Err(Refused::Expired);
        }
        if self.iat > now.saturating_add(CLOCK_SKEW_S) {
            return Err(Refused::Early);
        }
        if self.audiences(audiences).next().is_none() { Err(Refused::Audience) } else { Ok(()) }
    }

    /// Those of some audiences for which it is.
    pub(crate) fn audiences<'a, S: AsRef<str>>(&'a self, of: &'a [S]) -> impl Iterator<Item = &'a S> {
        of.iter().filter(|audience| self.aud.iter().any(|known| known == audience.as_ref()))
    }

    /// The user that it stands for, in Kubernetes' words. `groups` are those that a User has now.
    pub(crate) fn user(&self, groups: &[String]) -> User {
        let mut extra = BTreeMap::new();
        if !self.jti.is_empty() {
            extra.insert(extra_key("credential-id"), vec![format!("JTI={}", self.jti)]);
        }
        let (uid, mut groups) = match &self.about {
            About::User(user) => (user.uid.clone(), groups.to_vec()),
            About::Account(OfAccount { namespace, serviceaccount, pod, node, .. }) => {
                for (what, named) in [("pod", pod), ("node", node)] {
                    let Some(Named { name, uid }) = named else { continue };
                    extra.insert(extra_key(&format!("{what}-name")), vec![name.clone()]);
                    extra.insert(extra_key(&format!("{what}-uid")), vec![uid.clone()]);
                }
                (serviceaccount.uid.clone(), service_account_groups(namespace).to_vec())
            }
            About::Secret(OfSecret { namespace, account, .. }) => {
                (account.uid.clone(), service_account_groups(namespace).to_vec())
            }
        };
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        User { name: self.about.user_name(), uid, groups, extra }
    }
}

impl About {
    /// The name of whoever it is as a user.
    pub(crate) fn user_name(&self) -> String {
        match self {
            Self::Account(OfAccount { namespace, serviceaccount, .. }) => {
                service_account(namespace, &serviceaccount.name)
            }
            Self::Secret(OfSecret { namespace, account, .. }) => service_account(namespace, &account.name),
            Self::User(user) => user.name.clone(),
        }
    }
}

impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { aud, exp, iat, jti, about } = self.clone();
        let sub = about.user_name();
        let (iss, of_account, of_user) = match about {
            About::Account(account) => (ISSUER, Some(account), None),
            About::User(user) => (USERS_ISSUER, None, Some(OfUser { user })),
            About::Secret(OfSecret { namespace, account: Named { name, uid }, secret, token: _ }) => {
                let iss = SECRETS_ISSUER.to_owned();
                return InSecret { iss, namespace, secret, name, uid, sub }.serialize(serializer);
            }
        };
        Written { aud, exp, iat, iss: iss.to_owned(), jti, of_user, of_account, nbf: iat, sub }.serialize(serializer)
    }
}

/// The user that an account is, as far as its name tells.
pub(super) fn user_of(namespace: &str, name: &str) -> User {
    let groups = service_account_groups(namespace).into_iter().chain([AUTHENTICATED.to_owned()]).collect();
    User { name: service_account(namespace, name), groups, ..User::default() }
}

fn extra_key(name: &str) -> String {
    format!("authentication.kubernetes.io/{name}")
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
        let about = OfAccount {
            namespace: "shop".to_owned(),
            node: Some(named("n1")),
            pod: Some(named("p1")),
            secret: None,
            serviceaccount: named("till"),
            warnafter: None,
        };
        let aud = vec![ISSUER.to_owned(), "vault".to_owned()];
        Claims { aud, exp: 200, iat: 100, jti: "j".to_owned(), about: About::Account(about) }
    }

    fn of_ann() -> Claims {
        Claims { about: About::User(named("ann")), ..claims() }
    }

    fn read(json: &str) -> Result<Claims, BadToken> {
        Claims::read(json.as_bytes(), "t")
    }

    #[test]
    fn a_token_in_a_secret_has_kubernetes_older_claims() {
        let about = OfSecret {
            namespace: "shop".to_owned(),
            account: named("till"),
            secret: "till-token".to_owned(),
            token: "t".to_owned(),
        };
        let json = serde_json::to_string(&Claims::of_secret(about)).unwrap();
        assert_eq!(
            json,
            r#"{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"shop","kubernetes.io/serviceaccount/secret.name":"till-token","kubernetes.io/serviceaccount/service-account.name":"till","kubernetes.io/serviceaccount/service-account.uid":"till-uid","sub":"system:serviceaccount:shop:till"}"#
        );
        let claims = read(&json).unwrap();
        assert_eq!(checked(&claims, 1 << 40, ISSUER), Ok(()), "it has no end");
        assert_eq!(checked(&claims, 1, "vault"), Err(Refused::Audience));
        let user = claims.user(&[]);
        assert_eq!(
            (user.name.as_str(), user.groups.len(), user.extra.len()),
            ("system:serviceaccount:shop:till", 3, 0)
        );
        for (from, to) in
            [("shop:till", "kube-system:till"), ("account.name\":\"till", "account.name\":\"root"), ("uid", "uid2")]
        {
            assert_eq!(read(&json.replacen(from, to, 1)), Err(BadToken::Claims), "{to}");
        }
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
        assert_eq!(claims.check(Timestamp(150_000), &[] as &[&str]), Err(Refused::Audience));
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else() {
        let json = serde_json::to_string(&claims()).unwrap();
        assert_eq!(read(&json), Ok(claims()));
        let of_ann = serde_json::to_string(&self::of_ann()).unwrap();
        assert_eq!(read(&of_ann), Ok(self::of_ann()));
        assert!(of_ann.contains(r#""sub":"ann""#) && of_ann.contains("/users\""), "{of_ann}");
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
            assert_eq!(read(&changed), Err(BadToken::Claims), "{to}");
        }
        let foreign = json.replace(ISSUER, "https://elsewhere");
        assert_eq!(read(&foreign), Err(BadToken::Issuer));
    }

    /// Nobody becomes another sort of caller by what it is called.
    #[test]
    fn who_made_a_token_says_of_which_sort_it_is() {
        let (account, user) = (serde_json::to_string(&claims()).unwrap(), serde_json::to_string(&of_ann()).unwrap());
        for (of, from, to) in [
            (&account, "cluster.local\",\"jti", "cluster.local/users\",\"jti"),
            (&user, "cluster.local/users", "cluster.local"),
            (&user, "\"sub\":\"ann\"", "\"sub\":\"system:serviceaccount:kube-system:root\""),
            (&user, "\"sub\":\"ann\"", "\"sub\":\"bob\""),
            (&user, "\"nbf\":100", "\"nbf\":0"),
            (&user, "\"kapelle.dev\":{", "\"kubernetes.io\":null,\"kapelle.dev\":null,\"x\":{"),
        ] {
            let changed = of.replacen(from, to, 1);
            assert_ne!(changed, *of, "{from}");
            assert_eq!(read(&changed), Err(BadToken::Claims), "{to}");
        }
        let both = user.replacen(
            "\"nbf\"",
            "\"kubernetes.io\":{\"namespace\":\"a\",\"serviceaccount\":{\"name\":\"b\"}},\"nbf\"",
            1,
        );
        assert_eq!(read(&both), Err(BadToken::Claims));
    }

    #[test]
    fn a_user_is_in_the_groups_that_it_has_now() {
        let user = of_ann().user(&["devs".to_owned()]);
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("ann", "ann-uid"));
        assert_eq!(user.groups, ["devs", "system:authenticated"]);
        assert_eq!(of_ann().user(&["system:authenticated".to_owned()]).groups, ["system:authenticated"]);
    }

    #[test]
    fn the_user_is_kubernetes_own() {
        let user = claims().user(&[]);
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
