//! The standard input of a command that wants to be asked before it is ended: silent, and at its end after `stop`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError};

use crate::books::Books;
use crate::grants::BoxFuture;

/// Input that says nothing until the container is asked to stop.
pub(crate) struct UntilStop {
    books: Arc<Books>,
    stopping: Option<SyncFuture>,
}

/// A future that is only ever polled through `&mut`, which is what makes it safe to share.
struct SyncFuture(std::sync::Mutex<BoxFuture<()>>);

impl UntilStop {
    pub(crate) fn new(books: Arc<Books>) -> Self {
        Self { books, stopping: None }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let books = &self.books;
        let stopping = self.stopping.get_or_insert_with(|| {
            let books = Arc::clone(books);
            SyncFuture(std::sync::Mutex::new(Box::pin(async move { books.stopping().await })))
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
        Box::new(Self::new(Arc::clone(&self.books)))
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(Self::new(Arc::clone(&self.books)))
    }
}

impl InputStream for UntilStop {
    fn read(&mut self, _size: usize) -> Result<Bytes, StreamError> {
        if self.books.is_stopping() { Err(StreamError::Closed) } else { Ok(Bytes::new()) }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for UntilStop {
    async fn ready(&mut self) {
        self.books.stopping().await;
    }
}

impl AsyncRead for UntilStop {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_stop(cx).map(Ok)
    }
}
