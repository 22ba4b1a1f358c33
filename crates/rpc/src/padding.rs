//! Short messages, and what HTTP/2 makes of them.
//!
//! Implementations of HTTP/2 (h2 among them) count the short data frames that wait to be read, and close the whole connection when
//! they are too many: to them it looks like an attack. Two sorts of clients are none. A Pod that writes byte by byte to somebody who
//! reads slowly: streams of bytes fill their messages up, so that they are not counted and flow control bounds how many wait, as for
//! all bytes. And whoever asks hundreds of short questions at once, or is answered them at once: for these, connections have windows
//! that are large enough for all streams together.

use bytes::Bytes;

/// The shortest message that is sent without padding, in bytes: h2 and others count frames below 256.
const UNPADDED_BYTES_MIN: u32 = 256;

/// How many short frames each stream may bring before they are read: those of one message.
const SHORT_FRAMES_MAX: u32 = 2;

static ZEROS: [u8; UNPADDED_BYTES_MIN as usize] = [0; UNPADDED_BYTES_MIN as usize];

/// What makes a message that carries so many bytes long enough.
#[must_use]
pub fn padding(carried: usize) -> Bytes {
    Bytes::from_static(&ZEROS[..ZEROS.len().saturating_sub(carried)])
}

/// The least window, in bytes, of a connection with so many streams at a time. h2 lets what short frames lack grow to half the
/// window, and then closes the connection.
#[must_use]
pub const fn window_for(streams: u32) -> u32 {
    2 * UNPADDED_BYTES_MIN * SHORT_FRAMES_MAX * streams
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::{io, sync::Arc};

    use api::authentication_v1::{SelfSubjectReview, TokenRequest, TokenReview};
    use futures::{StreamExt as _, future::join_all, stream};
    use hyper_util::rt::TokioIo;
    use tokio::sync::Barrier;
    use tonic::{Request, Response, Status, transport::Server};
    use tower::service_fn;

    use crate::{
        client::endpoint,
        services::{
            identities_client::IdentitiesClient,
            identities_server::{Identities, IdentitiesServer},
        },
    };

    /// As many as masters take from anybody at a time on one connection.
    const FLOOD: usize = 1024;

    /// Answers everybody at the same moment, and nothing.
    struct AtOnce(Arc<Barrier>);

    impl AtOnce {
        async fn answer<T: Default>(&self) -> Result<Response<T>, Status> {
            self.0.wait().await;
            Ok(Response::new(T::default()))
        }
    }

    #[tonic::async_trait]
    impl Identities for AtOnce {
        async fn create_token(&self, _: Request<TokenRequest>) -> Result<Response<TokenRequest>, Status> {
            self.answer().await
        }

        async fn create_user_token(&self, _: Request<TokenRequest>) -> Result<Response<TokenRequest>, Status> {
            self.answer().await
        }

        async fn review_token(&self, _: Request<TokenReview>) -> Result<Response<TokenReview>, Status> {
            self.answer().await
        }

        async fn review_self(&self, _: Request<SelfSubjectReview>) -> Result<Response<SelfSubjectReview>, Status> {
            self.answer().await
        }
    }

    /// The client took hundreds of short answers for an attack, and closed the connection.
    #[tokio::test]
    async fn many_short_answers_at_once_break_no_connection() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let incoming = stream::iter([Ok::<_, io::Error>(far)]).chain(stream::pending());
        let service = IdentitiesServer::new(AtOnce(Arc::new(Barrier::new(FLOOD))));
        let server = Server::builder().max_concurrent_streams(FLOOD as u32).add_service(service);
        tokio::spawn(server.serve_with_incoming(incoming));
        let mut once = Some(TokioIo::new(near));
        let connector = service_fn(move |_: http::Uri| std::future::ready(once.take().ok_or("connected once")));
        let channel = endpoint("https://master").unwrap().connect_with_connector(connector).await.unwrap();
        let ask = |_| {
            let mut client = IdentitiesClient::new(channel.clone());
            async move { client.review_self(SelfSubjectReview::default()).await }
        };
        for answer in join_all((0..FLOOD).map(ask)).await {
            answer.unwrap();
        }
    }
}
