//! Which log a request means: of which container, and of which of its runs.

use api::{Error, Timestamp, core_v1::Pod, kinds::Resource as _, pod::container_status};
use rpc::services::LogRequest;

use super::logs::Want;

/// A log that a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The container's name.
    pub(super) container: String,
    /// What names the container's present run; empty before the first.
    pub(super) id: String,
    /// The number of the run whose log it is.
    pub(super) run: u32,
}

impl Choice {
    /// What a request means of a Pod as it is.
    pub(super) fn of(pod: &Pod, request: &LogRequest) -> Result<Self, Error> {
        let container = choose(pod, &request.container)?;
        let id = container_id(pod, &container);
        // What waits to be started again has no run of its own: the one before is the latest.
        let current = run(&id).filter(|_| !request.previous);
        let run = current.or_else(|| previous(pod, &container)).ok_or_else(|| {
            Error::bad_request(if request.previous {
                format!("previous terminated container {container:?} in pod {:?} not found", request.pod)
            } else {
                format!("container {container:?} in pod {:?} is waiting to start", request.pod)
            })
        })?;
        Ok(Self { container, id, run })
    }

    /// Whether the container's present run has ended.
    pub(super) fn has_ended(&self, pod: &Pod) -> bool {
        container_status(pod, &self.container).is_none_or(|status| {
            let is_running = status.state.as_ref().is_some_and(|state| state.running.is_some());
            status.container_id != self.id || !is_running
        })
    }
}

/// Which lines a request wants.
pub(super) fn want(request: &LogRequest, now: Timestamp) -> Want {
    let since = request.since_seconds.map(|seconds| Timestamp(now.0 - seconds.saturating_mul(1000)));
    Want {
        tail_lines: request.tail_lines.and_then(|lines| usize::try_from(lines).ok()),
        since: since.or_else(|| request.since_time.as_ref().map(Timestamp::from)),
        timestamps: request.timestamps,
    }
}

/// The container that is meant; a Pod with several must be asked for one by name.
fn choose(pod: &Pod, asked: &str) -> Result<String, Error> {
    let spec = pod.spec.clone().unwrap_or_default();
    let names: Vec<String> = spec.containers.iter().map(|container| container.name.clone()).collect();
    if asked.is_empty() {
        return match names.as_slice() {
            [only] => Ok(only.clone()),
            _ => {
                let message = format!(
                    "a container name must be specified for pod {}, choose one of: [{}]",
                    pod.name(),
                    names.join(" ")
                );
                Err(Error::bad_request(message))
            }
        };
    }
    let known =
        spec.init_containers.iter().any(|container| container.name == asked) || names.iter().any(|name| name == asked);
    if known {
        Ok(asked.to_owned())
    } else {
        Err(Error::bad_request(format!("container {asked} is not valid for pod {}", pod.name())))
    }
}

fn container_id(pod: &Pod, container: &str) -> String {
    container_status(pod, container).map(|status| status.container_id.clone()).unwrap_or_default()
}

/// The number of the run, which ends a container's id.
fn run(id: &str) -> Option<u32> {
    id.rsplit('/').next()?.parse().ok()
}

/// The number of the run before the present one.
fn previous(pod: &Pod, container: &str) -> Option<u32> {
    let last = container_status(pod, container)?.last_state.as_ref()?;
    run(&last.terminated.as_ref()?.container_id)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStatus, PodSpec, PodStatus,
    };

    use super::*;

    /// A Pod with some containers, of which the first has a status.
    fn pod(containers: &[&str], id: &str, previous: Option<&str>, is_running: bool) -> Pod {
        let named = |name: &&str| Container { name: (*name).to_owned(), ..Container::default() };
        let spec = PodSpec {
            containers: containers.iter().map(named).collect(),
            init_containers: vec![named(&"init")],
            ..PodSpec::default()
        };
        let terminated = |id: &str| ContainerState {
            terminated: Some(ContainerStateTerminated { container_id: id.to_owned(), ..Default::default() }),
            ..ContainerState::default()
        };
        let running =
            ContainerState { running: is_running.then(ContainerStateRunning::default), ..ContainerState::default() };
        let status = ContainerStatus {
            name: containers[0].to_owned(),
            container_id: id.to_owned(),
            state: Some(Box::new(running)),
            last_state: previous.map(|id| Box::new(terminated(id))),
            ..ContainerStatus::default()
        };
        let status = PodStatus { container_statuses: vec![status], ..PodStatus::default() };
        let mut pod = Pod { spec: Some(spec), status: Some(status), ..Pod::default() };
        pod.metadata_mut().name = "web".to_owned();
        pod
    }

    fn ask(container: &str, previous: bool) -> LogRequest {
        LogRequest { pod: "web".to_owned(), container: container.to_owned(), previous, ..LogRequest::default() }
    }

    #[test]
    fn a_request_means_the_present_run_or_the_one_before() {
        let pod = pod(&["main"], "kapelle://u/main/3", Some("kapelle://u/main/2"), true);
        let run = |request: &LogRequest| Choice::of(&pod, request).unwrap().run;
        assert_eq!((run(&ask("", false)), run(&ask("main", false)), run(&ask("main", true))), (3, 3, 2));
        let waiting = self::pod(&["main"], "", Some("kapelle://u/main/2"), false);
        assert_eq!(Choice::of(&waiting, &ask("", false)).unwrap().run, 2, "it waits to be started again");
    }

    #[test]
    fn what_has_no_log_is_named() {
        let why = |pod: &Pod, request: &LogRequest| Choice::of(pod, request).unwrap_err().message;
        let fresh = pod(&["main"], "", None, false);
        assert_eq!(why(&fresh, &ask("", false)), "container \"main\" in pod \"web\" is waiting to start");
        let previous = why(&fresh, &ask("", true));
        assert_eq!(previous, "previous terminated container \"main\" in pod \"web\" not found");
        assert_eq!(why(&fresh, &ask("other", false)), "container other is not valid for pod web");
        assert!(why(&fresh, &ask("init", false)).contains("waiting to start"));
        let two = pod(&["one", "two"], "", None, false);
        assert_eq!(
            why(&two, &ask("", false)),
            "a container name must be specified for pod web, choose one of: [one two]"
        );
    }

    #[test]
    fn a_run_has_ended_when_another_one_began_or_none_runs() {
        let pod = |id: &str, is_running| pod(&["main"], id, None, is_running);
        let choice = Choice::of(&pod("kapelle://u/main/3", true), &ask("", false)).unwrap();
        assert!(!choice.has_ended(&pod("kapelle://u/main/3", true)));
        assert!(choice.has_ended(&pod("kapelle://u/main/3", false)));
        assert!(choice.has_ended(&pod("kapelle://u/main/4", true)));
        assert!(choice.has_ended(&Pod::default()));
    }

    #[test]
    fn lines_are_wanted_from_an_age_or_a_time_on() {
        let now = Timestamp(60_000);
        let since = LogRequest { since_seconds: Some(20), tail_lines: Some(-1), ..LogRequest::default() };
        assert_eq!((want(&since, now).since, want(&since, now).tail_lines), (Some(Timestamp(40_000)), None));
        let time = LogRequest { since_time: Some(Timestamp(7_000).into()), ..LogRequest::default() };
        assert_eq!(want(&time, now).since, Some(Timestamp(7_000)));
        assert_eq!(want(&LogRequest::default(), now), Want::default());
    }
}
