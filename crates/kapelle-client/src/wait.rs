//! Waits until one object is as a program wants it.

use std::sync::Arc;

use api::{Error, Reason};
use futures::StreamExt as _;

use crate::{
    kind::Typed,
    typed::Api,
    watcher::{Event, watch_object},
};

/// Waits until an object, which may not exist yet or any more, is as it is wanted, and answers it. Bound the time with
/// `tokio::time::timeout`.
///
/// ```no_run
/// # async fn run(client: kapelle_client::Client) -> Result<(), kapelle_client::Error> {
/// use kapelle_client::{Api, core_v1::Pod, wait_for};
///
/// let pods: Api<Pod> = Api::default_namespaced(client);
/// let is_over = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase == "Succeeded");
/// let pod = wait_for(&pods, "job-1", |pod| pod.is_some_and(is_over)).await?;
/// let gone = wait_for(&pods, "job-1", |pod| pod.is_none()).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If the masters refuse to tell of the object.
pub async fn wait_for<K: Typed>(
    api: &Api<K>,
    name: &str,
    mut is_wanted: impl FnMut(Option<&K>) -> bool,
) -> Result<Option<Arc<K>>, Error> {
    let mut events = watch_object(api, name);
    let mut object: Option<Arc<K>> = None;
    while let Some(event) = events.next().await {
        let is_whole = follow(&mut object, event?);
        if is_whole && is_wanted(object.as_deref()) {
            return Ok(object);
        }
    }
    Err(Error::new(Reason::ServiceUnavailable, "the watch has ended"))
}

/// Takes an event in; returns whether the object is known to be so, or not to be there.
fn follow<K: Typed>(object: &mut Option<Arc<K>>, event: Event<K>) -> bool {
    match event {
        Event::Init => {
            *object = None;
            false
        }
        Event::InitApply(new) => {
            *object = Some(new);
            false
        }
        Event::InitDone(_) => true,
        Event::Apply(new) => {
            *object = Some(new);
            true
        }
        Event::Delete(_) => {
            *object = None;
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use api::{Revision, core_v1::ConfigMap};

    use super::*;
    use crate::watcher::tests::map;

    #[test]
    fn an_object_counts_only_when_it_is_known_to_be_so() {
        let (one, two) = (Arc::new(map("a", "1")), Arc::new(map("a", "2")));
        let steps: [(Event<ConfigMap>, bool, Option<&str>); 7] = [
            (Event::Init, false, None),
            (Event::InitApply(one), false, Some("1")),
            (Event::InitDone(Revision(1)), true, Some("1")),
            (Event::Apply(two.clone()), true, Some("2")),
            (Event::Delete(two), true, None),
            (Event::Init, false, None),
            (Event::InitDone(Revision(3)), true, None),
        ];
        let mut object = None;
        for (event, is_whole, value) in steps {
            assert_eq!(follow(&mut object, event), is_whole);
            assert_eq!(object.as_ref().map(|map| map.data["v"].as_str()), value);
        }
    }
}
