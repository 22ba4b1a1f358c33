//! Acting as somebody else: what a request's `Impersonate-` headers say of whom, in every language, and which rights that takes.

use std::sync::Arc;

use api::{
    Error,
    users::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, as_service_account, service_account_groups},
};
use http::HeaderMap;
use registry::{Access, Caller, Registry, ResourceAttributes, User};
use rpc::url;

/// How the headers begin.
const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
/// The rest of the header's name is that of what is said.
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// The group of resources that stand for what is said of users.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// As whom a request is made, if it is made as somebody else than its sender, and its sender may. `registry` is the sender's.
pub(crate) async fn wanted(registry: &Registry, headers: &HeaderMap) -> Result<Option<Arc<Caller>>, Error> {
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Ok(None);
    }
    let user = read(headers)?;
    for right in rights(&user) {
        registry.authorise(Access::Resource(right)).await?;
    }
    Ok(Some(Arc::new(Caller::User(Arc::new(completed(user))))))
}

/// What the headers say.
fn read(headers: &HeaderMap) -> Result<User, Error> {
    let mut user = User::default();
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with(PREFIX)) {
        let name = name.as_str();
        let wrong = |_| Error::bad_request(format!("{name}: only visible ASCII characters may stand in it"));
        let value = value.to_str().map_err(wrong)?.to_owned();
        match name {
            USER | UID => {
                let known = if name == USER { &mut user.name } else { &mut user.uid };
                if !known.is_empty() {
                    return Err(Error::bad_request(format!("{name}: given twice; give it once")));
                }
                *known = value;
            }
            GROUP => user.groups.push(value),
            _ => {
                let key = name.strip_prefix(EXTRA_PREFIX).and_then(url::unescape).filter(|key| !key.is_empty());
                let unknown = || Error::bad_request(format!("{name}: no such header; write Impersonate-Extra-KEY"));
                user.extra.entry(key.ok_or_else(unknown)?.to_lowercase()).or_default().push(value);
            }
        }
    }
    if user.name.is_empty() {
        return Err(Error::bad_request(
            "requested to impersonate groups, a uid or extras without impersonating a user",
        ));
    }
    Ok(user)
}

/// The rights that it takes to be the user, all of them.
fn rights(user: &User) -> Vec<ResourceAttributes<'_>> {
    let verb = "impersonate";
    let core = |resource, namespace, name| ResourceAttributes { verb, resource, namespace, name, ..Default::default() };
    let told = |resource, subresource, name| ResourceAttributes {
        verb,
        group: AUTHENTICATION,
        resource,
        subresource,
        name,
        ..Default::default()
    };
    let itself = match account(&user.name) {
        Some((namespace, name)) => core("serviceaccounts", namespace, name),
        None => core("users", "", user.name.as_str()),
    };
    let groups = user.groups.iter().map(|group| core("groups", "", group.as_str()));
    let uid = Some(user.uid.as_str()).filter(|uid| !uid.is_empty()).map(|uid| told("uids", "", uid));
    let extra = user.extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
    let extra = extra.map(|(key, value)| told("userextras", key.as_str(), value.as_str()));
    [itself].into_iter().chain(groups).chain(uid).chain(extra).collect()
}

/// The namespace and name of the ServiceAccount of which a user has the name.
fn account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = as_service_account(user)?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

/// The user with the groups in which whoever has its name is.
fn completed(mut user: User) -> User {
    if user.groups.is_empty()
        && let Some((namespace, _)) = account(&user.name)
    {
        user.groups = service_account_groups(namespace).to_vec();
    }
    let everybody = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !user.groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
        user.groups.push(everybody.to_owned());
    }
    user
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let header = |line: &&str| {
            let (name, value) = line.split_once(": ").unwrap();
            (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let mut headers = HeaderMap::new();
        lines.iter().map(header).for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    /// Who it is, and what it takes.
    fn told(lines: &[&str]) -> Result<(String, Vec<String>), String> {
        let user = read(&headers(lines)).map_err(|error| error.message)?;
        let right = |right: ResourceAttributes<'_>| {
            let ResourceAttributes { group, resource, subresource, namespace, name, .. } = right;
            [group, resource, subresource, namespace, name].join("|")
        };
        let rights = rights(&user).into_iter().map(right).collect();
        let User { name, uid, groups, extra } = completed(user);
        Ok((format!("{name} {uid:?} {groups:?} {extra:?}"), rights))
    }

    #[test]
    fn what_headers_say_takes_a_right_each() {
        let (who, rights) = told(&[
            "Impersonate-User: ann",
            "Impersonate-Group: devs",
            "Impersonate-Group: ops",
            "Impersonate-Uid: 7",
            "Impersonate-Extra-acme.com%2Fproject: x",
            "Impersonate-Extra-scopes: a",
            "Impersonate-Extra-scopes: b",
        ])
        .unwrap();
        assert_eq!(
            who,
            "ann \"7\" [\"devs\", \"ops\", \"system:authenticated\"] \
             {\"acme.com/project\": [\"x\"], \"scopes\": [\"a\", \"b\"]}"
        );
        assert_eq!(
            rights,
            [
                "|users|||ann",
                "|groups|||devs",
                "|groups|||ops",
                "authentication.k8s.io|uids|||7",
                "authentication.k8s.io|userextras|acme.com/project||x",
                "authentication.k8s.io|userextras|scopes||a",
                "authentication.k8s.io|userextras|scopes||b",
            ]
        );
    }

    #[test]
    fn accounts_and_nobody_are_in_their_groups() {
        let (who, rights) = told(&["Impersonate-User: system:serviceaccount:a:robot"]).unwrap();
        let groups = "[\"system:serviceaccounts\", \"system:serviceaccounts:a\", \"system:authenticated\"]";
        assert_eq!(who, format!("system:serviceaccount:a:robot \"\" {groups} {{}}"));
        assert_eq!(rights, ["|serviceaccounts||a|robot"]);
        let (who, rights) = told(&["Impersonate-User: system:anonymous"]).unwrap();
        assert_eq!((who.as_str(), rights.len()), ("system:anonymous \"\" [\"system:unauthenticated\"] {}", 1));
        let (_, rights) = told(&["Impersonate-User: system:serviceaccount:a"]).unwrap();
        assert_eq!(rights, ["|users|||system:serviceaccount:a"], "that is no account");
    }

    #[test]
    fn what_makes_no_user_is_refused() {
        let cases = [
            (&["Impersonate-Group: devs"][..], "without impersonating a user"),
            (&["Impersonate-User: ann", "Impersonate-User: bob"], "given twice"),
            (&["Impersonate-User: ann", "Impersonate-Uid: 1", "Impersonate-Uid: 2"], "given twice"),
            (&["Impersonate-User: ann", "Impersonate-Else: x"], "no such header"),
            (&["Impersonate-User: ann", "Impersonate-Extra-%zz: x"], "no such header"),
        ];
        for (lines, why) in cases {
            assert!(told(lines).unwrap_err().contains(why), "{lines:?}");
        }
    }
}
