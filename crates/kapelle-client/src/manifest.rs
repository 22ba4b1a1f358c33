//! Manifests as values and as typed objects, both ways.

use api::{
    Error, Object,
    json::{self, Strictness},
    yaml,
};
use serde_json::Value;

use crate::kind::Typed;

/// Reads every document of a YAML or JSON text, as `kubectl` does: several documents, lists taken apart.
///
/// # Errors
/// If a document is not YAML or too large; the text names document and line.
pub fn documents(text: &str) -> Result<Vec<Value>, Error> {
    yaml::documents(text)
}

/// Reads one object of a kind from YAML or JSON. Unknown fields are refused.
///
/// ```
/// use kapelle_client::{core_v1::ConfigMap, manifest, Resource as _};
///
/// let map: ConfigMap = manifest::from_yaml("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {k: v}}")?;
/// assert_eq!((map.name(), map.data["k"].as_str()), ("a", "v"));
/// # Ok::<_, kapelle_client::Error>(())
/// ```
///
/// # Errors
/// If the text is not one such object; the error names the field.
pub fn from_yaml<K: Typed>(text: &str) -> Result<K, Error> {
    match documents(text)?.as_slice() {
        [document] => from_value(document),
        documents => {
            let message = format!("{} documents where one {} is expected", documents.len(), K::KIND);
            Err(Error::bad_request(message))
        }
    }
}

/// Reads one object of a kind from JSON.
///
/// # Errors
/// As [`from_yaml`].
pub fn from_value<K: Typed>(value: &Value) -> Result<K, Error> {
    let object = json::decode(K::KIND, value, Strictness::Strict)?.object;
    K::from_object(object).ok_or_else(|| Error::internal(format!("it is no {}", K::KIND)))
}

/// An object as JSON, with `apiVersion` and `kind`.
#[must_use]
pub fn to_value<K: Typed>(object: &K) -> Value {
    let object: Object = object.clone().into();
    json::encode(&object)
}

/// An object as YAML, with `apiVersion` and `kind`.
#[must_use]
pub fn to_yaml<K: Typed>(object: &K) -> String {
    yaml::to_string(&to_value(object))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{Kind, apps_v1::Deployment, core_v1::Pod};

    use super::*;

    #[test]
    fn a_typed_object_is_read_and_written_as_its_manifest() {
        let text = Kind::Deployment.sample();
        let deployment: Deployment = from_yaml(text).unwrap();
        assert_eq!(from_yaml::<Deployment>(&to_yaml(&deployment)).unwrap(), deployment);
        assert_eq!(to_value(&deployment)["kind"], "Deployment");
    }

    #[test]
    fn what_is_not_such_an_object_is_told() {
        let error = |text: &str| from_yaml::<Pod>(text).unwrap_err().message;
        assert_eq!(error(""), "0 documents where one Pod is expected");
        assert!(error(Kind::Node.sample()).contains("kind"), "{}", error(Kind::Node.sample()));
        let misspelt = error("{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {container: []}}");
        assert!(misspelt.contains("unknown field \"spec.container\""), "{misspelt}");
    }
}
