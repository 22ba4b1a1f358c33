//! Channels both ways (`channel.k8s.io`): the first byte of each message is the number of a channel, in base64 its digit.

use ::bytes::{BufMut as _, Bytes, BytesMut};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{Sink, Stream, StreamExt as _};
use tokio::{
    sync::mpsc,
    time::{Instant, interval_at},
};
use tokio_tungstenite::tungstenite::{Error, Message, protocol::frame::coding::CloseCode};

use super::{Client, End, PING_EVERY, broken, farewell, flush, open, ping, send};

/// How many messages wait for a channel that is not read.
const CHANNEL_QUEUE_MAX: usize = 4;

/// How many messages wait to be written.
const WAITING_MAX: usize = 16;

/// The channel on which a client of version 5 says that it has nothing more to say on another one.
const CLOSE: u8 = 255;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As bytes.
    Binary,
    /// As text in base64.
    Base64,
}

/// What is said on channels, by number.
pub(crate) type Sender = mpsc::Sender<(u8, Bytes)>;

/// What comes on one channel.
pub(crate) type Receiver = mpsc::Receiver<Bytes>;

/// Carries channels, of which the client speaks on those in `spoken`, until the client is gone or everything was said: until what
/// `talk` answers has ended and no sender is left.
pub(crate) async fn carry<F: Future<Output = ()> + Send>(
    bytes: impl super::Carrier,
    coding: Coding,
    spoken: Vec<u8>,
    talk: impl FnOnce(Sender, Vec<Receiver>) -> F,
) {
    let socket = open(bytes, Client::Speaks).await;
    let (out, said) = mpsc::channel(WAITING_MAX);
    let (queues, heard): (Vec<_>, Vec<_>) = spoken.iter().map(|_| mpsc::channel(CHANNEL_QUEUE_MAX)).unzip();
    let queues = spoken.into_iter().zip(queues.into_iter().map(Some)).collect();
    let talk = talk(out, heard);
    let (mut sink, mut stream) = socket.split();
    let end = {
        let talked = async { tokio::join!(talk, write(&mut sink, said, coding)).1 };
        tokio::select! {
            end = talked => end,
            end = read(&mut stream, queues, coding) => end,
        }
    };
    let why = if matches!(end, End::Broken(_)) { "a message begins with the number of a channel" } else { "" };
    if let Ok(socket) = stream.reunite(sink) {
        farewell(socket, end, why).await;
    }
}

async fn write(sink: &mut (impl Sink<Message> + Unpin), mut said: mpsc::Receiver<(u8, Bytes)>, coding: Coding) -> End {
    let mut ticks = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let message = tokio::select! {
            said = said.recv() => match said {
                None => return End::Over,
                Some((channel, bytes)) => encode(channel, &bytes, coding),
            },
            _ = ticks.tick() => ping(),
        };
        if let Err(end) = send(sink, message).await {
            return end;
        }
        if let Err(end) = flush(sink).await {
            return end;
        }
    }
}

async fn read(
    stream: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    mut queues: Vec<(u8, Option<mpsc::Sender<Bytes>>)>,
    coding: Coding,
) -> End {
    loop {
        // A client that is there answers pings, whatever else it has to say.
        let Ok(next) = tokio::time::timeout(2 * PING_EVERY, stream.next()).await else { return End::Gone };
        let message = match next {
            None => return End::Gone,
            Some(Ok(Message::Close(_))) => return End::Closed,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(message @ (Message::Binary(_) | Message::Text(_)))) => message.into_data(),
            Some(Err(error)) => return broken(&error),
        };
        let Some((channel, bytes)) = decode(message, coding) else { return End::Broken(CloseCode::Invalid) };
        if channel == CLOSE {
            let closed = bytes.first().copied();
            queues.iter_mut().filter(|(number, _)| Some(*number) == closed).for_each(|(_, queue)| *queue = None);
        } else if let Some((_, Some(queue))) = queues.iter().find(|(number, _)| *number == channel)
            && !bytes.is_empty()
        {
            // Who does not read any more misses nothing.
            let _ = queue.send(bytes).await;
        }
    }
}

/// A message for a channel.
fn encode(channel: u8, bytes: &[u8], coding: Coding) -> Message {
    match coding {
        Coding::Binary => {
            let mut message = BytesMut::with_capacity(1 + bytes.len());
            message.put_u8(channel);
            message.put_slice(bytes);
            Message::Binary(message.freeze())
        }
        Coding::Base64 => Message::Text(format!("{channel}{}", BASE64_STANDARD.encode(bytes)).into()),
    }
}

/// The channel of a message, and what it says.
pub(crate) fn decode(mut message: Bytes, coding: Coding) -> Option<(u8, Bytes)> {
    if message.is_empty() {
        return None;
    }
    let (first, rest) = (message.split_to(1)[0], message);
    match coding {
        Coding::Binary => Some((first, rest)),
        Coding::Base64 => {
            let digit = first.checked_sub(b'0').filter(|digit| *digit < 10)?;
            Some((digit, BASE64_STANDARD.decode(rest).ok()?.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_their_channel_in_both_codings() {
        for coding in [Coding::Binary, Coding::Base64] {
            for (channel, text) in [(0, "bytes"), (3, ""), (9, "\u{0}x")] {
                let message = encode(channel, text.as_bytes(), coding);
                assert_eq!(message.is_text(), coding == Coding::Base64);
                assert_eq!(decode(message.into_data(), coding), Some((channel, Bytes::from_static(text.as_bytes()))));
            }
            assert_eq!(decode(Bytes::new(), coding), None);
        }
        assert_eq!(decode(Bytes::from_static(b"xYQ=="), Coding::Base64), None);
        assert_eq!(decode(Bytes::from_static(b"0Y!"), Coding::Base64), None);
    }
}
