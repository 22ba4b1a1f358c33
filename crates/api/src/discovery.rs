//! The answers of discovery, by which clients learn what is served: what they are made of, as a table. OpenAPI describes them by
//! it, and it has the numbers under which they are told in protobuf. They do not stand in `proto/`: nothing of them is stored or
//! patched, and nobody sends them.

use serde_json::Value;

use crate::wire::{put_bytes, put_number, within};

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Text,
    Flag,
    Texts,
    /// Texts that protobuf has in a message of their own.
    Verbs,
    One(&'static str),
    Many(&'static str),
}

/// A part of an answer.
#[derive(Debug)]
pub(crate) struct Member {
    number: u32,
    pub(crate) name: &'static str,
    pub(crate) holds: Holds,
    /// Whether it is always there.
    pub(crate) required: bool,
    pub(crate) says: &'static str,
}

/// An answer, or something that one is made of.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    /// Whether it is an answer by itself.
    pub(crate) is_answer: bool,
    pub(crate) members: &'static [Member],
}

const fn always(number: u32, name: &'static str, holds: Holds, says: &'static str) -> Member {
    Member { number, name, holds, required: true, says }
}

const fn maybe(number: u32, name: &'static str, holds: Holds, says: &'static str) -> Member {
    Member { number, name, holds, required: false, says }
}

/// Groups in one answer, resources in another for each group and version.
pub(crate) const LEGACY: &[Type] = &[
    Type {
        name: "APIVersions",
        says: "The versions of the core group.",
        is_answer: true,
        members: &[
            always(1, "versions", Holds::Texts, "The versions."),
            always(2, ADDRESSES, Holds::Many("ServerAddressByClientCIDR"), "Where the server is reached."),
        ],
    },
    Type {
        name: "APIGroupList",
        says: "All groups but the core one.",
        is_answer: true,
        members: &[always(1, "groups", Holds::Many("APIGroup"), "The groups.")],
    },
    Type {
        name: "APIGroup",
        says: "A group and its versions.",
        is_answer: true,
        members: &[
            always(1, "name", Holds::Text, "The group."),
            always(2, "versions", Holds::Many("GroupVersionForDiscovery"), "Its versions."),
            maybe(
                3,
                "preferredVersion",
                Holds::One("GroupVersionForDiscovery"),
                "The version to use if there is a choice.",
            ),
            maybe(4, ADDRESSES, Holds::Many("ServerAddressByClientCIDR"), "Where the server is reached."),
        ],
    },
    Type {
        name: "APIResourceList",
        says: "The resources of a group and version.",
        is_answer: true,
        members: &[
            always(1, "groupVersion", Holds::Text, "The group and version, such as `apps/v1`."),
            always(2, "resources", Holds::Many("APIResource"), "Its resources."),
        ],
    },
    Type {
        name: "APIResource",
        says: "What is served under one name.",
        is_answer: false,
        members: &[
            always(1, "name", Holds::Text, "The name in URLs; of a part of an object `deployments/scale`."),
            always(6, "singularName", Holds::Text, "The name in prose."),
            always(2, "namespaced", Holds::Flag, "Whether its objects live in namespaces."),
            maybe(8, "group", Holds::Text, "The group of what is answered, if it is another one."),
            maybe(9, "version", Holds::Text, "The version of what is answered, if it is another one."),
            always(3, "kind", Holds::Text, "The kind of what is answered."),
            always(4, "verbs", Holds::Verbs, "What can be done with it."),
            maybe(5, "shortNames", Holds::Texts, "What people type."),
            maybe(7, "categories", Holds::Texts, "Groups of resources such as `all`."),
        ],
    },
    Type {
        name: "GroupVersionForDiscovery",
        says: "A version of a group.",
        is_answer: false,
        members: &[
            always(1, "groupVersion", Holds::Text, "The group and version, such as `apps/v1`."),
            always(2, "version", Holds::Text, "The version alone."),
        ],
    },
    Type {
        name: "ServerAddressByClientCIDR",
        says: "Where clients reach the server.",
        is_answer: false,
        members: &[
            always(1, "clientCIDR", Holds::Text, "The clients, by their addresses."),
            always(2, "serverAddress", Holds::Text, "The server's address."),
        ],
    },
];

const ADDRESSES: &str = "serverAddressByClientCIDRs";

/// Everything in one answer.
const AGGREGATED: &[Type] = &[
    Type {
        name: "APIGroupDiscoveryList",
        says: "Groups with all that is in them.",
        is_answer: true,
        members: &[
            always(1, "metadata", Holds::One("ListMeta"), "Nothing."),
            always(2, "items", Holds::Many("APIGroupDiscovery"), "The groups."),
        ],
    },
    Type {
        name: "APIGroupDiscovery",
        says: "A group with all that is in it.",
        is_answer: false,
        members: &[
            always(1, "metadata", Holds::One("ObjectMeta"), "The name of the group."),
            always(2, "versions", Holds::Many("APIVersionDiscovery"), "Its versions."),
        ],
    },
    Type {
        name: "APIVersionDiscovery",
        says: "A version of a group.",
        is_answer: false,
        members: &[
            always(1, "version", Holds::Text, "The version."),
            always(2, "resources", Holds::Many("APIResourceDiscovery"), "Its resources."),
            always(3, "freshness", Holds::Text, "`Current`, or `Stale` if this is what was known last."),
        ],
    },
    Type {
        name: "APIResourceDiscovery",
        says: "What is served under one name.",
        is_answer: false,
        members: &[
            always(1, "resource", Holds::Text, "The name in URLs."),
            always(2, "responseKind", Holds::One("GroupVersionKind"), "What is answered."),
            always(3, "scope", Holds::Text, "`Namespaced` or `Cluster`."),
            always(4, "singularResource", Holds::Text, "The name in prose."),
            always(5, "verbs", Holds::Texts, "What can be done with it."),
            maybe(6, "shortNames", Holds::Texts, "What people type."),
            maybe(7, "categories", Holds::Texts, "Groups of resources such as `all`."),
            maybe(8, "subresources", Holds::Many("APISubresourceDiscovery"), "The parts that have URLs of their own."),
        ],
    },
    Type {
        name: "APISubresourceDiscovery",
        says: "A part of objects that has a URL of its own.",
        is_answer: false,
        members: &[
            always(1, "subresource", Holds::Text, "The name in URLs."),
            always(2, "responseKind", Holds::One("GroupVersionKind"), "What is answered."),
            maybe(3, "acceptedTypes", Holds::Many("GroupVersionKind"), "What may be sent, if it is something else."),
            always(4, "verbs", Holds::Texts, "What can be done with it."),
        ],
    },
    Type {
        name: "GroupVersionKind",
        says: "What something is.",
        is_answer: false,
        members: &[
            always(1, "group", Holds::Text, "The group."),
            always(2, "version", Holds::Text, "The version."),
            always(3, "kind", Holds::Text, "The kind."),
        ],
    },
    Type {
        name: "ObjectMeta",
        says: "What a group says of itself.",
        is_answer: false,
        members: &[always(1, "name", Holds::Text, "The name.")],
    },
    Type { name: "ListMeta", says: "What a list says of itself.", is_answer: false, members: &[] },
];

fn find(name: &str) -> Option<&'static Type> {
    LEGACY.iter().chain(AGGREGATED).find(|of| of.name == name)
}

/// The protobuf of an answer, of the kind that it says it is; `None` if that is none of discovery.
#[must_use]
pub fn encode(answer: &Value) -> Option<Vec<u8>> {
    let kind = answer.get("kind")?.as_str()?;
    let of = find(kind).filter(|of| of.is_answer)?;
    let mut bytes = Vec::new();
    message(of, answer, &mut bytes);
    Some(bytes)
}

fn message(of: &Type, value: &Value, into: &mut Vec<u8>) {
    for member in of.members {
        if let Some(value) = value.get(member.name) {
            put(member, value, into);
        }
    }
}

fn put(member: &Member, value: &Value, into: &mut Vec<u8>) {
    let number = member.number;
    match member.holds {
        Holds::Text => text(number, value, into),
        Holds::Flag => put_number(number, u64::from(value.as_bool().unwrap_or_default()), into),
        Holds::Texts => elements(value).for_each(|value| text(number, value, into)),
        Holds::Verbs => within(number, into, |into| elements(value).for_each(|value| text(1, value, into))),
        Holds::One(of) => within(number, into, |into| part(of, value, into)),
        Holds::Many(of) => {
            elements(value).for_each(|value| within(number, into, |into| part(of, value, into)));
        }
    }
}

fn part(of: &str, value: &Value, into: &mut Vec<u8>) {
    if let Some(of) = find(of) {
        message(of, value, into);
    }
}

fn text(number: u32, value: &Value, into: &mut Vec<u8>) {
    put_bytes(number, value.as_str().unwrap_or_default().as_bytes(), into);
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_an_answer_is_made_of_is_known_and_no_number_stands_twice() {
        for of in LEGACY.iter().chain(AGGREGATED) {
            let mut numbers: Vec<u32> = of.members.iter().map(|member| member.number).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), of.members.len(), "{}", of.name);
            for member in of.members {
                if let Holds::One(name) | Holds::Many(name) = member.holds {
                    assert!(find(name).is_some(), "{}.{} is a {name}", of.name, member.name);
                }
            }
        }
    }

    #[test]
    fn an_answer_is_told_under_kubernetes_numbers() {
        let resource = json!({
            "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": ["get", "list"], "shortNames": ["po"],
        });
        let list =
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [resource]});
        let resource = [
            b"\x0a\x04pods".as_slice(),
            b"\x32\x03pod",
            b"\x10\x01",
            b"\x1a\x03Pod",
            b"\x22\x0b\x0a\x03get\x0a\x04list",
            b"\x2a\x02po",
        ]
        .concat();
        let length = u8::try_from(resource.len()).expect("a short one");
        let expected = [b"\x0a\x02v1\x12".as_slice(), &[length], resource.as_slice()].concat();
        assert_eq!(encode(&list), Some(expected));

        let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
        let group = json!({
            "kind": "APIGroupDiscoveryList", "metadata": {}, "items": [{
                "metadata": {"name": "g", "creationTimestamp": null},
                "versions": [{"version": "v1", "freshness": "Current", "resources": [{"responseKind": kind}]}],
            }],
        });
        let kind = b"\x12\x0b\x0a\x00\x12\x02v1\x1a\x03Pod";
        let version = [b"\x0a\x02v1\x12\x0d".as_slice(), kind, b"\x1a\x07Current"].concat();
        let length = u8::try_from(version.len()).expect("a short one");
        let item = [b"\x0a\x03\x0a\x01g\x12".as_slice(), &[length], version.as_slice()].concat();
        let length = u8::try_from(item.len()).expect("a short one");
        assert_eq!(encode(&group), Some([b"\x0a\x00\x12".as_slice(), &[length], item.as_slice()].concat()));
        assert_eq!(encode(&json!({"kind": "APIGroupDiscovery"})), None, "no answer by itself");
        assert_eq!(encode(&json!({"kind": "Pod"})), None);
    }
}
