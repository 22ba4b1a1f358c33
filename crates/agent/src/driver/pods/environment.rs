//! A container's environment variables, from wherever the Pod says they come.

use std::net::{IpAddr, Ipv4Addr};

use api::{
    Kind,
    core_v1::{Container, EnvVarSource, LocalObjectReference, Pod},
    expansion::{Environment, TooLarge},
    kinds::{Resource as _, core::service::KUBERNETES_PORT},
};

use super::sources::{Sources, missing};
use crate::brain::Failure;

/// Every variable, in the order of the manifest: `HOSTNAME` as container engines set it and where the API is, as every Pod
/// is told, then `envFrom`, then `env`, which wins.
pub(crate) async fn resolve(
    sources: &Sources,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
    kubernetes: IpAddr,
) -> Result<Environment, Failure> {
    let mut env = Environment::default();
    let set = |env: &mut Environment, name: String, value: String| env.set(name, value).map_err(too_large);
    set(&mut env, "HOSTNAME".to_owned(), pod.name().to_owned())?;
    set(&mut env, "KUBERNETES_SERVICE_HOST".to_owned(), kubernetes.to_string())?;
    set(&mut env, "KUBERNETES_SERVICE_PORT".to_owned(), KUBERNETES_PORT.to_string())?;
    for source in &container.env_from {
        let (kind, name, optional) = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), _) => (Kind::ConfigMap, name_of(map.local_object_reference.as_ref()), map.optional),
            (None, Some(secret)) => (Kind::Secret, name_of(secret.local_object_reference.as_ref()), secret.optional),
            (None, None) => continue,
        };
        let values = sources.data(pod.namespace(), kind, &name, optional.unwrap_or(false)).await?.unwrap_or_default();
        for (key, value) in values {
            set(&mut env, format!("{}{key}", source.prefix), String::from_utf8_lossy(&value).into_owned())?;
        }
    }
    for variable in &container.env {
        let value = match &variable.value_from {
            Some(source) => from(sources, pod, container, address, source).await?,
            None => Some(env.expand(&variable.value).map_err(too_large)?),
        };
        if let Some(value) = value {
            set(&mut env, variable.name.clone(), value)?;
        }
    }
    Ok(env)
}

pub(crate) fn too_large(error: TooLarge) -> Failure {
    Failure { reason: "CreateContainerConfigError", message: error.to_string() }
}

fn name_of(reference: Option<&LocalObjectReference>) -> String {
    reference.map(|reference| reference.name.clone()).unwrap_or_default()
}

async fn from(
    sources: &Sources,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
    source: &EnvVarSource,
) -> Result<Option<String>, Failure> {
    if let Some(field) = &source.field_ref {
        return sources.field(pod, address, &field.field_path).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        return sources.amount(pod, Some(container), resource).map(Some);
    }
    let (kind, name, key, optional) = match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(map), _) => (Kind::ConfigMap, name_of(map.local_object_reference.as_ref()), &map.key, map.optional),
        (None, Some(secret)) => {
            (Kind::Secret, name_of(secret.local_object_reference.as_ref()), &secret.key, secret.optional)
        }
        (None, None) => return Ok(None),
    };
    let optional = optional.unwrap_or(false);
    let values = sources.data(pod.namespace(), kind, &name, optional).await?;
    match values.as_ref().and_then(|values| values.get(key)) {
        Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        None if optional => Ok(None),
        None => Err(missing(format!("couldn't find key {key} in {kind} {}/{name}", pod.namespace()))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::{
        ConfigMap, ConfigMapEnvSource, ConfigMapKeySelector, EnvFromSource, EnvVar, ObjectFieldSelector,
        ResourceFieldSelector,
    };

    use super::*;
    use crate::driver::testing::sources;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 7);
    const KUBERNETES: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1));

    fn pod() -> Pod {
        let mut pod = Pod::default();
        (pod.metadata_mut().name, pod.metadata_mut().namespace) = ("web-1".to_owned(), "default".to_owned());
        pod
    }

    fn map(data: &[(&str, &str)]) -> ConfigMap {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut map = ConfigMap { data, ..ConfigMap::default() };
        (map.metadata_mut().name, map.metadata_mut().namespace) = ("settings".to_owned(), "default".to_owned());
        map
    }

    fn reference() -> Option<LocalObjectReference> {
        Some(LocalObjectReference { name: "settings".to_owned() })
    }

    fn plain(name: &str, value: &str) -> EnvVar {
        EnvVar { name: name.to_owned(), value: value.to_owned(), ..EnvVar::default() }
    }

    fn key(name: &str, key: &str, optional: bool) -> EnvVar {
        let selector =
            ConfigMapKeySelector { local_object_reference: reference(), key: key.to_owned(), optional: Some(optional) };
        let source = EnvVarSource { config_map_key_ref: Some(selector), ..EnvVarSource::default() };
        EnvVar { name: name.to_owned(), value_from: Some(Box::new(source)), ..EnvVar::default() }
    }

    #[tokio::test]
    async fn variables_come_in_the_order_of_the_manifest_from_wherever_it_says() {
        let (_dir, sources) = sources(&[map(&[("COLOR", "blue"), ("SIZE", "7")]).into()]).await;
        let from = ConfigMapEnvSource { local_object_reference: reference(), ..ConfigMapEnvSource::default() };
        let field = ObjectFieldSelector { field_path: "status.podIP".to_owned(), ..ObjectFieldSelector::default() };
        let field = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
        let resource = ResourceFieldSelector { resource: "limits.cpu".to_owned(), ..ResourceFieldSelector::default() };
        let resource = EnvVarSource { resource_field_ref: Some(resource), ..EnvVarSource::default() };
        let container = Container {
            env_from: vec![EnvFromSource {
                prefix: "MY_".to_owned(),
                config_map_ref: Some(from),
                ..EnvFromSource::default()
            }],
            env: vec![
                plain("TEXT", "$(MY_COLOR) $(HOSTNAME) $(NOBODY)"),
                key("SIZE", "SIZE", false),
                key("NONE", "NONE", true),
                EnvVar { name: "IP".to_owned(), value_from: Some(Box::new(field)), ..EnvVar::default() },
                EnvVar { name: "CPUS".to_owned(), value_from: Some(Box::new(resource)), ..EnvVar::default() },
                plain("MY_SIZE", "8"),
                plain("API", "https://$(KUBERNETES_SERVICE_HOST):$(KUBERNETES_SERVICE_PORT)"),
            ],
            ..Container::default()
        };
        let variables = resolve(&sources, &pod(), &container, ADDRESS, KUBERNETES).await.unwrap().into_variables();
        let of = |name: &str| variables.iter().rfind(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(of("HOSTNAME"), Some("web-1"));
        assert_eq!(of("TEXT"), Some("blue web-1 $(NOBODY)"));
        assert_eq!((of("SIZE"), of("MY_SIZE"), of("NONE")), (Some("7"), Some("8"), None));
        assert_eq!(of("IP"), Some("10.244.0.7"));
        assert_eq!(of("API"), Some("https://10.96.0.1:443"));
        assert!(of("CPUS").is_some_and(|text| text.parse::<u32>().is_ok()), "the node's, since there is no limit");
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let (_dir, sources) = sources(&[map(&[]).into()]).await;
        let container = Container { env: vec![key("A", "COLOR", false)], ..Container::default() };
        let failure = resolve(&sources, &pod(), &container, ADDRESS, KUBERNETES).await.unwrap_err();
        assert_eq!(failure.reason, "CreateContainerConfigError");
        assert_eq!(failure.message, "couldn't find key COLOR in ConfigMap default/settings");
    }
}
