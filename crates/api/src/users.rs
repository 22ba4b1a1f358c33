//! How users and groups are called that Kubernetes knows itself: nodes, ServiceAccounts, administrators, and everybody.

/// The user who is nobody.
pub const ANONYMOUS: &str = "system:anonymous";
/// Begins the name of a node as a user.
pub const NODE_PREFIX: &str = "system:node:";
/// The group of nodes.
pub const NODES: &str = "system:nodes";
/// The group of those who may do everything, whatever roles say.
pub const MASTERS: &str = "system:masters";
/// The group of everybody who is somebody.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody who is not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of all ServiceAccounts; with a colon and a namespace behind it, of those there.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Begins the name of a ServiceAccount as a user; its namespace, a colon and its own name follow.
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// The name of a ServiceAccount as a user.
#[must_use]
pub fn service_account(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// The namespace and the name of the ServiceAccount that a user is; `None` if it is none by its name.
#[must_use]
pub fn as_service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')
}

/// The groups of ServiceAccounts in which those of a namespace are.
#[must_use]
pub fn service_account_groups(namespace: &str) -> [String; 2] {
    [SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_known_by_its_name_as_a_user() {
        assert_eq!(as_service_account(&service_account("shop", "till")), Some(("shop", "till")));
        assert_eq!(as_service_account("system:serviceaccount:shop:a:b"), Some(("shop", "a:b")));
        for other in ["", "till", "system:serviceaccount:shop", "system:serviceaccounts:shop:till", "system:node:w1"] {
            assert_eq!(as_service_account(other), None, "{other}");
        }
        assert_eq!(service_account_groups("shop"), ["system:serviceaccounts", "system:serviceaccounts:shop"]);
    }
}
