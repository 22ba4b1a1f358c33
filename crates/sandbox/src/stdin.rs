//! The standard input of a command that wants to be asked before it is ended: silent, and at its end after `stop`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError};

use crate::BoxFuture;
use crate::container::Shared;

/// Input that says nothing until the container is asked to stop.
pub(crate) struct UntilStop {
    shared: Arc<Shared>,
    stopping: Option<SyncFuture>,
}

/// A future that is only ever polled through `&mut`, which is what makes it safe to share.
struct SyncFuture(std::sync::Mutex<BoxFuture<()>>);

impl UntilStop {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, stopping: None }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.shared;
        let stopping = self.stopping.get_or_insert_with(|| {
            let shared = Arc::clone(shared);
            SyncFuture(std::sync::Mutex::new(Box::pin(async move { shared.stopping().await })))
        });
        let future = stopping.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        future.as_mut().poll(cx)
    }
}

impl IsTerminal for UntilStop {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for UntilStop {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(Self::new(Arc::clone(&self.shared)))
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Self::new(Arc::clone(&self.shared)))
    }
}

impl InputStream for UntilStop {
    fn read(&mut self, _size: usize) -> Result<Bytes, StreamError> {
        if self.shared.is_stopping() { Err(StreamError::Closed) } else { Ok(Bytes::new()) }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for UntilStop {
    async fn ready(&mut self) {
        self.shared.stopping().await;
    }
}

impl AsyncRead for UntilStop {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_stop(cx).map(Ok)
    }
}
