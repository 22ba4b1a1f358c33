//! What a Pod's manifest says of one container, in the words of those who run it.

use std::collections::BTreeSet;

use api::{
    core_v1::{Container, Pod},
    expansion::{Environment, TooLarge},
    kinds::Resource as _,
    meta_v1::IntOrString,
    pod,
};
use sandbox::Limits;

/// The port of an HTTP handler whose container names none.
pub(crate) const HTTP_PORT: u16 = 8080;

/// The annotation by which an owner lets an instance answer several requests, one after the other.
const REUSE: &str = "kapelle.dev/http-reuse";

/// The container, init containers included, of a name.
pub(crate) fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers.iter().chain(&spec.containers).find(|container| container.name == name)
}

/// Whether a container has to come to an end before the others begin.
pub(crate) fn is_initial(pod: &Pod, name: &str) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.init_containers.iter().any(|container| container.name == name))
}

/// `argv`: the command, or the container's name, then the arguments, with `$(NAME)` filled in.
pub(crate) fn arguments(container: &Container, env: &mut Environment) -> Result<Vec<String>, TooLarge> {
    let name = std::slice::from_ref(&container.name);
    let command = if container.command.is_empty() { name } else { &container.command };
    env.words(command.iter().chain(&container.args))
}

/// What a container may use.
pub(crate) fn limits(container: &Container) -> Limits {
    let limits = pod::container_limits(container);
    let requests = pod::container_requests(container);
    let millis = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    let default = Limits::default();
    Limits {
        memory_bytes: limits.memory.map_or(default.memory_bytes, |memory| memory.0.min(sandbox::MAX_MEMORY_BYTES)),
        cpu_millis: limits.cpu.map(|cpu| millis(cpu.0)),
        cpu_weight_millis: if requests.cpu.0 == 0 { default.cpu_weight_millis } else { millis(requests.cpu.0) },
    }
}

/// How many requests an instance of a handler may answer, if its owner says so.
pub(crate) fn reuse(pod: &Pod) -> Option<u32> {
    pod.metadata()?.annotations.get(REUSE)?.parse().ok()
}

/// The ports under which an HTTP handler answers.
pub(crate) fn handler_ports(container: Option<&Container>) -> BTreeSet<u16> {
    let named = container.into_iter().flat_map(|spec| &spec.ports).filter(|port| matches!(&*port.protocol, "" | "TCP"));
    let mut ports: BTreeSet<u16> = named.filter_map(|port| u16::try_from(port.container_port).ok()).collect();
    if ports.is_empty() {
        ports.insert(HTTP_PORT);
    }
    ports
}

/// A port by its number or by the name that the container gives it.
pub(crate) fn port(container: &Container, port: Option<&IntOrString>) -> Result<u16, String> {
    let Some(port) = port else { return Ok(HTTP_PORT) };
    let number = if port.r#type == 0 {
        Some(port.int_val)
    } else {
        let named = container.ports.iter().find(|known| known.name == port.str_val).map(|known| known.container_port);
        named.or_else(|| port.str_val.parse().ok())
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| format!("the container has no port {:?}", port.str_val))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{
        core_v1::{ContainerPort, PodSpec, ResourceRequirements},
        meta_v1::Quantity,
    };

    use super::*;

    fn named(name: &str) -> Container {
        Container { name: name.to_owned(), ..Container::default() }
    }

    fn ports(ports: &[(&str, i32, &str)]) -> Container {
        let port = |(name, number, protocol): &(&str, i32, &str)| ContainerPort {
            name: (*name).to_owned(),
            container_port: *number,
            protocol: (*protocol).to_owned(),
            ..ContainerPort::default()
        };
        Container { ports: ports.iter().map(port).collect(), ..Container::default() }
    }

    #[test]
    fn containers_are_found_by_name_whichever_sort_they_are() {
        let spec =
            PodSpec { init_containers: vec![named("first")], containers: vec![named("main")], ..PodSpec::default() };
        let pod = Pod { spec: Some(spec), ..Pod::default() };
        assert!(container(&pod, "first").is_some() && container(&pod, "main").is_some());
        assert!(container(&pod, "other").is_none() && container(&Pod::default(), "main").is_none());
        assert!(is_initial(&pod, "first") && !is_initial(&pod, "main"));
    }

    #[test]
    fn the_first_argument_is_the_command_or_the_containers_name() {
        let text = |text: &str| text.to_owned();
        let mut env = Environment::default();
        env.set(text("WHO"), text("you")).unwrap();
        let plain = Container { args: vec![text("hello"), text("$(WHO)")], ..named("main") };
        assert_eq!(arguments(&plain, &mut env).unwrap(), ["main", "hello", "you"]);
        let own = Container { command: vec![text("greet")], ..plain };
        assert_eq!(arguments(&own, &mut env).unwrap(), ["greet", "hello", "you"]);
    }

    #[test]
    fn what_is_not_limited_has_the_sandboxes_limits() {
        let amounts = |amounts: &[(&str, &str)]| {
            let quantity = |text: &str| Quantity { string: text.to_owned() };
            amounts.iter().map(|(name, text)| ((*name).to_owned(), quantity(text))).collect()
        };
        assert_eq!(limits(&named("main")), Limits::default());
        let resources = ResourceRequirements {
            limits: amounts(&[("memory", "1Ti"), ("cpu", "1500m")]),
            requests: amounts(&[("cpu", "250m")]),
            ..ResourceRequirements::default()
        };
        let limits = limits(&Container { resources: Some(resources), ..Container::default() });
        assert_eq!(limits.memory_bytes, sandbox::MAX_MEMORY_BYTES);
        assert_eq!((limits.cpu_millis, limits.cpu_weight_millis), (Some(1500), 250));
    }

    #[test]
    fn ports_are_found_by_number_and_by_name() {
        let web = ports(&[("web", 80, ""), ("dns", 53, "UDP"), ("admin", 9000, "TCP")]);
        assert_eq!(handler_ports(Some(&web)), [80, 9000].into());
        assert_eq!(handler_ports(Some(&ports(&[]))), [HTTP_PORT].into());
        let number = |int_val| IntOrString { int_val, ..IntOrString::default() };
        let name = |text: &str| IntOrString { r#type: 1, str_val: text.to_owned(), ..IntOrString::default() };
        assert_eq!(port(&web, None), Ok(HTTP_PORT));
        assert_eq!(port(&web, Some(&number(7))), Ok(7));
        assert_eq!((port(&web, Some(&name("admin"))), port(&web, Some(&name("81")))), (Ok(9000), Ok(81)));
        assert_eq!(port(&web, Some(&name("none"))).unwrap_err(), "the container has no port \"none\"");
        assert!(port(&web, Some(&number(-1))).is_err());
    }
}
