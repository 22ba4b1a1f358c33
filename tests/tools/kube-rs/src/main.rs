//! kube-rs: typed and dynamic clients, watchers and stores, a controller with owned objects, finalizers, Events, server-side
//! apply, streams, and a kind of one's own. Usage: `kube-rs-check`, with `KUBECONFIG` and `NAMESPACE`.

mod controller;
mod custom;
mod objects;
mod streams;
mod tap;

use kube::Client;
use tap::{Error, Tap};

/// The cluster, and the namespace in which everything happens.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
}

impl Cluster {
    fn api<K>(&self) -> kube::Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        kube::Api::namespaced(self.client.clone(), &self.namespace)
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let cluster = Cluster { client: Client::try_default().await?, namespace: std::env::var("NAMESPACE")? };
    let mut tap = Tap::default();
    tap.check("version, and discovery of every kind", objects::discovery(&cluster)).await;
    tap.check("a Deployment is created and completes", objects::deployment(&cluster)).await;
    tap.check("server-side apply: owners, a conflict, force", objects::apply(&cluster)).await;
    tap.check("strategic merge, merge and JSON patches; entry", objects::patches(&cluster)).await;
    tap.check("metadata alone, and kinds as data", objects::metadata(&cluster)).await;
    tap.check("status and scale", objects::subresources(&cluster)).await;
    tap.check("a watcher that lists first", objects::watching(&cluster, false)).await;
    tap.check("a watcher that streams the list", objects::watching(&cluster, true)).await;
    tap.check("logs, whole and followed", streams::logs(&cluster)).await;
    tap.check("port-forward", streams::port_forward(&cluster)).await;
    tap.check("exec: the transport opens, and its error says what a sandbox has not", streams::exec(&cluster)).await;
    tap.check("attach: the same", streams::attach(&cluster)).await;
    tap.check("eviction", streams::evict(&cluster)).await;
    tap.check("an Event recorder counts what repeats itself", controller::events(&cluster)).await;
    tap.check("a controller with finalizer and owned objects", controller::operate(&cluster)).await;
    tap.check("the in-cluster configuration: a Pod's account, which may what its role says", objects::in_cluster(&cluster)).await;
    tap.check("a kind of one's own: definition, objects, status, scale, removal", custom::round_trip(&cluster)).await;
    tap.done();
    Ok(())
}
