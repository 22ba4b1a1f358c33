//! The gRPC service through which connections go to ports of Pods.

use api::{Error, Key, Kind, Subresource, Verb};
use futures::StreamExt as _;
use rpc::{
    forward,
    services::{ForwardRequest, ports_server::Ports},
};
use serde_json::json;
use tonic::{Request, Response, Streaming};

use super::{Answer, ObjectService, refused};

#[tonic::async_trait]
impl Ports for ObjectService {
    type ForwardStream = forward::Answers;

    async fn forward(&self, request: Request<Streaming<ForwardRequest>>) -> Answer<Self::ForwardStream> {
        let service = self.of(&request);
        let mut requests = request.into_inner();
        let opened = async {
            let first = forward::wanted(&mut requests).await?;
            if !first.host.is_empty() {
                return Err(Error::bad_request("host: connections go to Pods only; name a Pod"));
            }
            let port = u16::try_from(first.port).ok().filter(|port| *port > 0);
            let wrong = || Error::bad_request(format!("port: {} is not one of 1 to 65535", first.port));
            let port = port.ok_or_else(wrong)?;
            let key = Key::namespaced(Kind::Pod, first.namespace.as_str(), first.pod.as_str());
            let reach = service.registry.reach(&key, Verb::Create, Subresource::Portforward).await?;
            let how = || json!({"apiVersion": "v1", "kind": "PodPortForwardOptions", "ports": [port]});
            service.registry.admit_question(&key, Subresource::Portforward, how).await?;
            if !first.uid.is_empty() && first.uid != reach.uid() {
                return Err(Error::not_found(&key));
            }
            Ok::<_, Error>((reach.open(port).await?, reach, first.data))
        };
        let (tunnel, reach, first) = opened.await.map_err(refused)?;
        let closing = async move { reach.closing().await };
        Ok(Response::new(Box::pin(forward::answers(first, requests, tunnel).take_until(closing))))
    }
}
