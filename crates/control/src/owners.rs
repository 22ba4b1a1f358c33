//! Owner references: how an object says whose it is.

use api::{
    Kind,
    meta_v1::{ObjectMeta, OwnerReference},
    pod,
};

/// A reference to the one owner that controls an object.
pub(crate) fn controller_reference(kind: Kind, owner: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: kind.api_version(),
        kind: kind.to_string(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The reference to the owner that controls an object, if that owner is of a kind.
pub(crate) fn controller_of_kind(meta: &ObjectMeta, kind: Kind) -> Option<&OwnerReference> {
    pod::controller_of(meta).filter(|owner| names_kind(owner, kind))
}

/// Whether a reference names a kind. The version does not matter: a group's versions show the same objects.
fn names_kind(owner: &OwnerReference, kind: Kind) -> bool {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    owner.kind == kind.info().kind && group == kind.info().group
}

#[cfg(test)]
mod tests {
    use api::{Kind, meta_v1::OwnerReference};

    use super::names_kind;

    #[test]
    fn a_reference_names_a_kind_by_its_group_whatever_the_version() {
        for (api_version, kind, is_replica_set) in [
            ("apps/v1", "ReplicaSet", true),
            ("apps/v1beta2", "ReplicaSet", true),
            ("apps/v1", "Deployment", false),
            ("batch/v1", "Job", false),
            ("example.com/v1", "ReplicaSet", false),
            ("v1", "ReplicaSet", false),
        ] {
            let owner = OwnerReference {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                ..OwnerReference::default()
            };
            assert_eq!(names_kind(&owner, Kind::ReplicaSet), is_replica_set, "{kind} of {api_version}");
        }
        let service = OwnerReference { api_version: "v1".into(), kind: "Service".into(), ..OwnerReference::default() };
        assert!(names_kind(&service, Kind::Service), "the core group has no name");
    }
}
