//! What masters ask of workers.

use api::Error;
use futures::{Stream, StreamExt as _};

use crate::{
    MESSAGE_BYTES_MAX, Security,
    client::endpoint,
    services::{LogChunk, LogRequest, node_agent_client::NodeAgentClient},
    status,
};

/// Reads a container's log from the agent at a URL.
///
/// # Errors
/// If the agent cannot be reached or has no such log.
pub async fn read_log(
    agent: &str,
    security: &Security,
    request: LogRequest,
) -> Result<impl Stream<Item = Result<LogChunk, Error>> + Send + 'static + use<>, Error> {
    let channel = security.channel(endpoint(agent)?);
    let mut client = NodeAgentClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let stream = client.read_log(request).await.map_err(|error| status::from_tonic(&error))?.into_inner();
    Ok(stream.map(|chunk| chunk.map_err(|error| status::from_tonic(&error))))
}
