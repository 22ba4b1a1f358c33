//! ApplySets: how `apply --prune` knows what was applied before and is no longer wanted.
//!
//! The rules are those of Kubernetes (KEP 3659). A set has a parent, a Secret or ConfigMap, that says which kinds and namespaces
//! its members are in; the members carry the set's id as a label. Whatever carries it and was not applied this time goes. A set
//! belongs to the tool that made it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use api::{Key, Kind, Object, meta_v1::ObjectMeta};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::session::Session;

/// The label of a parent: the id of the set.
const ID: &str = "applyset.kubernetes.io/id";

/// The label of a member: the id of its set.
pub(crate) const PART_OF: &str = "applyset.kubernetes.io/part-of";

/// The annotation of a parent with the tool that the set belongs to, as NAME/VERSION.
const TOOLING: &str = "applyset.kubernetes.io/tooling";

/// The annotation of a parent with the kinds of the members, each as KIND.GROUP.
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";

/// The annotation of a parent with the namespaces of the members beside its own.
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";

/// The name of this tool.
const TOOL: &str = "kapelle";

/// Under which name the parent's fields are owned.
pub(crate) const FIELD_MANAGER: &str = "kapelle-applyset";

/// The kinds that can be parents.
const PARENTS: [Kind; 2] = [Kind::Secret, Kind::ConfigMap];

/// The parent of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    kind: Kind,
    namespace: String,
    name: String,
}

/// Where the members of a set are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) kinds: BTreeSet<Kind>,
    /// Of those kinds that live in namespaces.
    pub(crate) namespaces: BTreeSet<String>,
}

impl Parent {
    /// Reads `KIND/NAME`, or the name of a Secret.
    pub(crate) fn parse(text: &str, namespace: &str) -> Result<Self> {
        let (word, name) = text.split_once('/').unwrap_or(("secret", text));
        ensure!(!name.is_empty(), "--applyset={text}: name the parent, such as secret/NAME or configmap/NAME");
        let kind = Kind::from_word(word).filter(|kind| PARENTS.contains(kind));
        let kind = kind.with_context(|| {
            format!("--applyset={text}: {word:?} cannot be the parent of a set; secrets and configmaps can")
        })?;
        Ok(Self { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    pub(crate) fn key(&self) -> Key {
        Key::namespaced(self.kind, self.namespace.as_str(), self.name.as_str())
    }

    /// The id of its set, which follows from its name.
    pub(crate) fn id(&self) -> String {
        let Self { kind, namespace, name } = self;
        let hash = Sha256::digest(format!("{name}.{namespace}.{}.{}", kind.info().kind, kind.info().group));
        format!("applyset-{}-v1", BASE64_URL_SAFE_NO_PAD.encode(hash))
    }

    /// The scope that a parent tells, which is there already. Refuses one that is another tool's, or no parent at all.
    /// `find` finds kinds by their names.
    pub(crate) fn scope(&self, parent: &Object, find: impl Fn(&str) -> Option<Kind>) -> Result<Scope> {
        let metadata = parent.metadata().cloned().unwrap_or_default();
        let tooling = annotation(&metadata, TOOLING);
        let Some(tooling) = tooling else {
            bail!(
                "{self} is there and lacks the annotation {TOOLING}: it is no parent of a set; choose another name for it"
            );
        };
        let tool = tooling.rsplit_once('/').map_or(tooling, |(tool, _)| tool);
        ensure!(tool == TOOL, "{self} belongs to {tool:?}, not to {TOOL:?}: prune the set with the tool that made it");
        let id = metadata.labels.get(ID).map_or("", String::as_str);
        ensure!(
            id == self.id(),
            "{self} has the label {ID}={id:?}, not {:?}: it is the parent of another set",
            self.id()
        );
        let kinds = annotation(&metadata, KINDS)
            .with_context(|| format!("{self} lacks the annotation {KINDS}: nobody knows where to look for members"))?;
        let kinds = listed(kinds).map(|word| {
            find(word).with_context(|| {
                format!("{self}: {KINDS}: the cluster has no kind {word:?}; without it, members cannot be found")
            })
        });
        let mut namespaces: BTreeSet<String> =
            listed(annotation(&metadata, NAMESPACES).unwrap_or_default()).map(str::to_owned).collect();
        namespaces.insert(self.namespace.clone());
        Ok(Scope { kinds: kinds.collect::<Result<_>>()?, namespaces })
    }

    /// The parent of a set that is in a scope.
    pub(crate) fn manifest(&self, scope: &Scope) -> Value {
        let kinds: BTreeSet<String> = scope.kinds.iter().map(|kind| kind.qualified_name()).collect();
        let others = scope.namespaces.iter().filter(|namespace| **namespace != self.namespace).cloned();
        let info = self.kind.info();
        json!({
            "apiVersion": info.api_version(),
            "kind": info.kind,
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": { ID: self.id() },
                "annotations": {
                    TOOLING: format!("{TOOL}/v{}", env!("CARGO_PKG_VERSION")),
                    KINDS: Vec::from_iter(kinds).join(","),
                    NAMESPACES: others.collect::<Vec<_>>().join(","),
                },
            },
        })
    }

    /// Marks a manifest as that of a member.
    pub(crate) fn mark(&self, manifest: &mut Value) -> Result<()> {
        let labels = within(within(manifest, "metadata")?, "labels")?;
        let set = labels.get(PART_OF).is_some();
        ensure!(!set, "metadata.labels: {PART_OF} is set in the manifest; remove it, --applyset sets it");
        labels[PART_OF] = self.id().into();
        Ok(())
    }
}

impl std::fmt::Display for Parent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} in namespace {}", self.kind.info().singular, self.name, self.namespace)
    }
}

impl Scope {
    /// Where manifests put their objects.
    pub(crate) fn of(members: &[Key]) -> Self {
        let namespaces = members.iter().filter(|member| member.kind.info().namespaced);
        Self {
            kinds: members.iter().map(|member| member.kind).collect(),
            namespaces: namespaces.map(|member| member.namespace.to_string()).collect(),
        }
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self { kinds: &self.kinds | &other.kinds, namespaces: &self.namespaces | &other.namespaces }
    }

    /// Each place in which there may be members; an empty namespace for kinds that live in none.
    pub(crate) fn places(&self) -> Vec<(Kind, String)> {
        let places = |kind: &Kind| -> Vec<(Kind, String)> {
            if kind.info().namespaced {
                self.namespaces.iter().map(|namespace| (*kind, namespace.clone())).collect()
            } else {
                vec![(*kind, String::new())]
            }
        };
        self.kinds.iter().flat_map(places).collect()
    }
}

/// As [`Parent::scope`], with all kinds of a cluster, which is asked only if one is not of the table.
pub(crate) async fn scope(session: &Session, parent: &Parent, object: &Object) -> Result<Scope> {
    if let Ok(scope) = parent.scope(object, group_kind) {
        return Ok(scope);
    }
    let defined = session.defined().await?;
    parent.scope(object, |word| group_kind(word).or_else(|| defined.from_qualified_name(word).map(Kind::Custom)))
}

/// The object that a manifest is about.
pub(crate) async fn member(session: &Session, manifest: &Value) -> Result<Key> {
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (version, kind) = (text("/apiVersion"), text("/kind"));
    let kind = session.kind(version, kind).await?;
    let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
    ensure!(!name.is_empty(), "metadata.name: name the object; what is applied cannot have a generated name");
    let here = session.namespace_for(kind);
    let is_elsewhere = kind.info().namespaced && !namespace.is_empty();
    Ok(Key::namespaced(kind, if is_elsewhere { namespace } else { here.as_str() }, name))
}

/// An object within another, made if it is not there.
fn within<'a>(object: &'a mut Value, name: &str) -> Result<&'a mut Value> {
    let Value::Object(fields) = object else { bail!("a manifest must be an object") };
    let inner = fields.entry(name).or_insert(Value::Null);
    if inner.is_null() {
        *inner = json!({});
    }
    ensure!(inner.is_object(), "{name}: expected an object");
    Ok(inner)
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.get(name).map(String::as_str)
}

fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// Finds a kind of the table by what sets call it: `Deployment.apps`; `Secret` for the core group.
pub(crate) fn group_kind(word: &str) -> Option<Kind> {
    Kind::ALL.iter().copied().find(|kind| kind.qualified_name() == word)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use api::json::{self, Strictness};

    use super::*;

    fn parent() -> Parent {
        Parent::parse("my-set", "my-ns").unwrap()
    }

    fn stored(manifest: &Value) -> Object {
        json::decode(parent().kind, manifest, Strictness::Strict).unwrap().object
    }

    #[test]
    fn a_parent_is_a_secret_or_a_config_map() {
        assert_eq!(parent().kind, Kind::Secret);
        assert_eq!(Parent::parse("cm/a", "x").unwrap().key(), Key::namespaced(Kind::ConfigMap, "x", "a"));
        let error = |text: &str| Parent::parse(text, "x").unwrap_err().to_string();
        assert_eq!(
            error("pod/a"),
            "--applyset=pod/a: \"pod\" cannot be the parent of a set; secrets and configmaps can"
        );
        assert!(error("secret/").contains("name the parent"));
    }

    #[test]
    fn an_id_is_a_label_that_follows_from_the_name_of_the_parent() {
        // As `printf my-set.my-ns.Secret. | sha256sum | xxd -r -p | basenc --base64url` has it, without the padding.
        assert_eq!(parent().id(), "applyset-XPS7DQcglYD3_BOTiwpLtirwmT9y1Q06wbJ7TyrjGmY-v1");
        assert!(parent().id().len() <= 63, "as long as a label's value may be");
        assert_ne!(Parent::parse("my-set", "other").unwrap().id(), parent().id());
    }

    #[test]
    fn a_parent_tells_where_its_members_are() {
        let keys = [
            Key::namespaced(Kind::Deployment, "b", "x"),
            Key::namespaced(Kind::ConfigMap, "my-ns", "x"),
            Key::cluster(Kind::Namespace, "b"),
        ];
        let scope = Scope::of(&keys);
        let manifest = parent().manifest(&scope);
        assert_eq!(manifest["metadata"]["annotations"][KINDS], "ConfigMap,Deployment.apps,Namespace");
        assert_eq!(manifest["metadata"]["annotations"][NAMESPACES], "b");
        assert_eq!(parent().scope(&stored(&manifest), group_kind).unwrap(), scope);
        let places: Vec<String> = scope.places().iter().map(|(kind, place)| format!("{kind} {place}")).collect();
        assert_eq!(places, ["Namespace ", "ConfigMap b", "ConfigMap my-ns", "Deployment b", "Deployment my-ns"]);
        let other = Scope::of(&[Key::namespaced(Kind::Secret, "c", "x")]);
        assert_eq!(scope.union(&other).places().len(), 1 + 3 * 3);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let manifest = parent().manifest(&Scope::default());
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut manifest = manifest.clone();
            change(&mut manifest["metadata"]);
            parent().scope(&stored(&manifest), group_kind).unwrap_err().to_string()
        };
        assert!(parent().scope(&stored(&manifest), group_kind).is_ok());
        let foreign = refused(&|metadata| metadata["annotations"][TOOLING] = "kubectl/v1.37.0".into());
        assert_eq!(
            foreign,
            "secret/my-set in namespace my-ns belongs to \"kubectl\", not to \"kapelle\": prune the set with the tool that made it"
        );
        assert!(refused(&|metadata| metadata["annotations"] = Value::Null).contains("it is no parent of a set"));
        assert!(refused(&|metadata| metadata["labels"] = Value::Null).contains("the parent of another set"));
        let unknown = |metadata: &mut Value| metadata["annotations"][KINDS] = "Gadget.example.com".into();
        assert!(refused(&unknown).contains(KINDS));
        let silent = |metadata: &mut Value| {
            metadata["annotations"].as_object_mut().unwrap().remove(KINDS);
        };
        assert!(refused(&silent).contains("nobody knows where to look"));
    }

    #[test]
    fn members_carry_the_id_of_their_set() {
        let mut manifest = json!({"metadata": {"name": "a"}});
        parent().mark(&mut manifest).unwrap();
        assert_eq!(manifest["metadata"]["labels"][PART_OF], parent().id());
        assert!(parent().mark(&mut manifest).unwrap_err().to_string().contains("remove it"));
        for wrong in [json!([]), json!({"metadata": 1}), json!({"metadata": {"labels": "x"}})] {
            assert!(parent().mark(&mut wrong.clone()).is_err(), "{wrong}");
        }
    }
}
