//! Answers that keep the seat of their request until they are sent, since they are made meanwhile.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body as Answer;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use registry::fair::Seat;
use tokio::task::AbortHandle;

struct Seated {
    answer: Answer,
    /// Taken away from whoever reads too slowly.
    seat: Arc<Mutex<Option<Seat>>>,
    alarm: AbortHandle,
}

/// The same answer, with a seat until it is sent or some time has passed.
pub(crate) fn keep(answer: Answer, seat: Seat, kept_for: Duration) -> Answer {
    // What is at hand as a whole costs nothing more.
    if answer.size_hint().exact().is_some() {
        return answer;
    }
    let seat = Arc::new(Mutex::new(Some(seat)));
    let lent = Arc::downgrade(&seat);
    let alarm = tokio::spawn(async move {
        tokio::time::sleep(kept_for).await;
        if let Some(seat) = lent.upgrade() {
            drop(seat.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    });
    Answer::new(Seated { answer, seat, alarm: alarm.abort_handle() })
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.alarm.abort();
    }
}

impl Body for Seated {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.answer).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = frame {
            drop(self.seat.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}
