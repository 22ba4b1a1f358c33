//! What is only sent, such as watches and logs: a message for each piece. What the client says meanwhile is passed over.

use std::pin::pin;

use ::bytes::Bytes;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, interval_at};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{Client, End, PING_EVERY, broken, farewell, flush, open, ping, send};
/// How pieces become messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As text, which the pieces are.
    Text,
    /// As they are.
    Binary,
    /// As text in base64.
    Base64,
}

/// The protocols of what is only sent.
pub(crate) const PROTOCOLS: [(&str, Option<Form>); 3] =
    [("", None), ("binary.k8s.io", Some(Form::Binary)), ("base64.binary.k8s.io", Some(Form::Base64))];

/// Sends batches of pieces until they end or the client is gone.
pub(crate) async fn feed(bytes: impl super::Carrier, batches: impl Stream<Item = Vec<Bytes>> + Send, form: Form) {
    let mut socket = open(bytes, Client::Listens).await;
    let end = send_all(&mut socket, batches, form).await;
    let why = if matches!(end, End::Broken(_)) { "nothing is expected here, least of all this" } else { "" };
    farewell(socket, end, why).await;
}

async fn send_all(
    socket: &mut WebSocketStream<impl super::Carrier>,
    batches: impl Stream<Item = Vec<Bytes>> + Send,
    form: Form,
) -> End {
    let mut batches = pin!(batches);
    let mut ticks = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut is_there = true;
    loop {
        let sent = tokio::select! {
            said = socket.next() => match said {
                None => return End::Gone,
                Some(Ok(Message::Close(_))) => return End::Closed,
                Some(Err(error)) => return broken(&error),
                Some(Ok(_)) => {
                    is_there = true;
                    Ok(())
                }
            },
            batch = batches.next() => match batch {
                None => return End::Over,
                Some(batch) => send_batch(socket, batch, form).await,
            },
            _ = ticks.tick() => match std::mem::replace(&mut is_there, false) {
                false => return End::Gone,
                true => send_batch_of(socket, [ping()]).await,
            },
        };
        if let Err(end) = sent {
            return end;
        }
    }
}

async fn send_batch(
    socket: &mut WebSocketStream<impl super::Carrier>,
    batch: Vec<Bytes>,
    form: Form,
) -> Result<(), End> {
    send_batch_of(socket, batch.into_iter().map(|piece| message(piece, form))).await
}

async fn send_batch_of(
    socket: &mut WebSocketStream<impl super::Carrier>,
    messages: impl IntoIterator<Item = Message>,
) -> Result<(), End> {
    for message in messages {
        send(socket, message).await?;
    }
    flush(socket).await
}

fn message(piece: Bytes, form: Form) -> Message {
    match form {
        // As a frame of its own nobody checks once more that our text is text.
        Form::Text => Message::Frame(Frame::message(piece, OpCode::Data(Data::Text), true)),
        Form::Binary => Message::Binary(piece),
        Form::Base64 => Message::Text(BASE64_STANDARD.encode(piece).into()),
    }
}
