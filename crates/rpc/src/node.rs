//! What masters ask of workers.

use api::Error;
use futures::{Stream, StreamExt as _};

use crate::{
    MESSAGE_BYTES_MAX, Security,
    client::endpoint,
    forward::Tunnel,
    security::Channel,
    services::{ForwardRequest, LogChunk, LogRequest, node_agent_client::NodeAgentClient},
    status,
};

/// The agent of a worker. It is connected to when it is first asked; cloning shares the connection.
#[derive(Clone, Debug)]
pub struct Agent {
    client: NodeAgentClient<Channel>,
}

impl Agent {
    /// The agent at a URL.
    ///
    /// # Errors
    /// If the URL is wrong.
    pub fn at(url: &str, security: &Security) -> Result<Self, Error> {
        let client = NodeAgentClient::new(security.channel(endpoint(url)?));
        Ok(Self { client: client.max_decoding_message_size(MESSAGE_BYTES_MAX) })
    }

    /// Reads a container's log.
    ///
    /// # Errors
    /// If the agent cannot be reached or has no such log.
    pub async fn read_log(
        mut self,
        request: LogRequest,
    ) -> Result<impl Stream<Item = Result<LogChunk, Error>> + Send + 'static + use<>, Error> {
        let stream = self.client.read_log(request).await.map_err(|error| status::from_tonic(&error))?.into_inner();
        Ok(stream.map(|chunk| chunk.map_err(|error| status::from_tonic(&error))))
    }

    /// Opens a connection to a port of a Pod.
    ///
    /// # Errors
    /// If the agent cannot be reached, or the Pod does not take the connection.
    pub async fn forward(mut self, to: ForwardRequest) -> Result<Tunnel, Error> {
        let opened = Tunnel::open(to, |requests| async move { self.client.forward(requests).await }).await;
        Ok(opened.map_err(|error| status::from_tonic(&error))?.into_inner())
    }
}
