//! Logs of containers: found by the Pod, read from the node that runs it.

use api::{
    Error, Key, Kind, Verb,
    core_v1::{Container, Pod},
};
use futures::{Stream, StreamExt as _};
use rpc::services::{LogChunk, LogRequest};

use crate::{Registry, access::Access};

/// The annotation with the container whose log is read when a request names none.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

impl Registry {
    /// Reads a container's log, and with `follow` goes on reading.
    ///
    /// # Errors
    /// If there is no such Pod or container, if the container must be named, if the Pod has no node yet, or if the node
    /// does not answer.
    pub async fn log(
        &self,
        request: LogRequest,
    ) -> Result<impl Stream<Item = Result<LogChunk, Error>> + Send + 'static + use<>, Error> {
        let key = Key::namespaced(Kind::Pod, request.namespace.as_str(), request.pod.as_str());
        self.authorise(Access::to(Verb::Log, &key)).await?;
        let object = self.found(&key).await?.object();
        let pod: &Pod = object.get().ok_or_else(|| Error::not_found(&key))?;
        let container = container(pod, &request.container).map_err(|why| Error::bad_request(why).about(&key))?;
        let agent = self.agent(&key, pod).await?;
        let chunks = agent.read_log(LogRequest { container, ..request }).await?;
        Ok(chunks.take_until(self.inner.closing.clone().cancelled_owned()))
    }
}

/// The container that is meant.
pub(crate) fn container(pod: &Pod, wanted: &str) -> Result<String, String> {
    let metadata = pod.metadata.clone().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let name = |container: &Container| container.name.clone();
    let main: Vec<String> = spec.containers.iter().map(name).collect();
    let initial: Vec<String> = spec.init_containers.iter().map(name).collect();
    let default = metadata.annotations.get(DEFAULT_CONTAINER).map_or("", String::as_str);
    match if wanted.is_empty() { default } else { wanted } {
        "" => match main.as_slice() {
            [only] => Ok(only.clone()),
            several => {
                let list = [several, &initial].concat().join(" ");
                Err(format!("a container name must be specified for pod {}, choose one of: [{list}]", metadata.name))
            }
        },
        wanted if main.iter().chain(&initial).any(|name| name == wanted) => Ok(wanted.to_owned()),
        wanted => Err(format!("container {wanted} is not valid for pod {}", metadata.name)),
    }
}
