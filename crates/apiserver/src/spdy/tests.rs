//! Frames that make sense and frames that do not, and streams over a connection.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
};

use super::{
    Fault,
    connection::{DATA_BYTES_MAX, STREAMS_MAX, Stream, serve},
    frame::{CONTROL_BYTES_MAX, Decoder, Frame},
    headers::{Deflater, Headers, Inflater},
};
use crate::tests::soon;

fn frames() -> Vec<Frame> {
    let headers = Bytes::from_static(b"compressed");
    vec![
        Frame::SynStream { stream: 1, fin: true, headers: headers.clone() },
        Frame::SynReply { stream: 1, fin: false, headers: headers.clone() },
        Frame::RstStream { stream: 3, status: 5 },
        Frame::Settings { initial_window: Some(1 << 20) },
        Frame::Settings { initial_window: None },
        Frame::Ping(7),
        Frame::GoAway { last_stream: 9, status: 0 },
        Frame::Headers { stream: 1, fin: true, headers },
        Frame::WindowUpdate { stream: 0, delta: 4096 },
        Frame::Data { stream: 1, fin: true, data: Bytes::new() },
    ]
}

#[test]
fn frames_are_read_as_they_were_written_however_they_come() {
    let mut written = BytesMut::new();
    frames().iter().for_each(|frame| frame.encode(&mut written));
    for step in [1, 3, written.len()] {
        let (mut decoder, mut bytes, mut read) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in written.chunks(step) {
            bytes.extend_from_slice(piece);
            while let Some(frame) = decoder.next(&mut bytes).unwrap() {
                read.push(frame);
            }
        }
        assert_eq!(read, frames(), "in pieces of {step}");
    }
}

#[test]
fn data_is_handed_on_as_it_comes() {
    let mut decoder = Decoder::default();
    // As long as a frame can be.
    let mut bytes = BytesMut::from(&[0, 0, 0, 1, 1, 0xff, 0xff, 0xff, b'a', b'b'][..]);
    let data = |fin, data| Ok(Some(Frame::Data { stream: 1, fin, data }));
    assert_eq!(decoder.next(&mut bytes), data(false, Bytes::from_static(b"ab")));
    assert_eq!(decoder.next(&mut bytes), Ok(None));
    let rest = vec![0; 0xff_fffd];
    bytes.extend_from_slice(&rest);
    assert_eq!(decoder.next(&mut bytes), data(true, rest.into()));
}

#[test]
fn frames_that_make_no_sense_are_refused_before_they_are_held() {
    let next = |bytes: &[u8]| Decoder::default().next(&mut BytesMut::from(bytes));
    let too_long = CONTROL_BYTES_MAX as u32 + 1;
    let [_, high, middle, low] = too_long.to_be_bytes();
    assert_eq!(next(&[0x80, 3, 0, 1, 0, high, middle, low]), Err(Fault::TooLong(too_long as usize)));
    assert_eq!(next(&[0x80, 2, 0, 1, 0, 0, 0, 0]), Err(Fault::Version(2)));
    assert_eq!(next(b"\xff\xff\xff\xff\xff\xff\xff\xff"), Err(Fault::Version(0x7fff)));
    for kind in [1, 2, 3, 4, 6, 7, 8, 9] {
        assert_eq!(next(&[0x80, 3, 0, kind, 0, 0, 0, 1, 0]), Err(Fault::Length(kind.into())), "type {kind}");
    }
    assert_eq!(next(&[0x80, 3, 0, 4, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]), Err(Fault::Length(4)), "so many settings");
    assert_eq!(next(&[0x80, 3, 0, 6, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0]), Err(Fault::Length(6)), "a long ping");
    let unknown = [&[0x80, 3, 0, 5, 0, 0, 0, 2, 1, 2][..], &[0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]].concat();
    assert_eq!(next(&unknown), Ok(Some(Frame::Ping(1))), "what nobody knows is passed over");
}

/// The client's side of a connection.
struct Client {
    stream: DuplexStream,
    bytes: BytesMut,
    decoder: Decoder,
    deflater: Deflater,
    inflater: Inflater,
}

impl Client {
    /// A connection whose streams are handed on.
    fn new() -> (Self, mpsc::UnboundedReceiver<Stream>) {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (opened, streams) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            serve(far, |stream| stream.headers.get("streamtype") != "odd" && opened.send(stream).is_ok()).await;
        });
        let (decoder, deflater, inflater) = (Decoder::default(), Deflater::default(), Inflater::default());
        (Self { stream: near, bytes: BytesMut::new(), decoder, deflater, inflater }, streams)
    }

    async fn send(&mut self, frame: Frame) {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        soon(self.stream.write_all(&bytes)).await.unwrap();
    }

    async fn open(&mut self, stream: u32, kind: &str) {
        let headers = self.deflater.write(&[("streamtype", kind)]);
        self.send(Frame::SynStream { stream, fin: false, headers }).await;
    }

    async fn data(&mut self, stream: u32, data: &'static [u8], fin: bool) {
        self.send(Frame::Data { stream, fin, data: Bytes::from_static(data) }).await;
    }

    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next(&mut self.bytes).unwrap() {
                if let Frame::SynReply { headers, .. } = &frame {
                    assert_eq!(self.inflater.read(headers), Ok(Headers::default()));
                }
                return Some(frame);
            }
            if soon(self.stream.read_buf(&mut self.bytes)).await.unwrap() == 0 {
                return None;
            }
        }
    }
}

fn is_reply(frame: Option<Frame>) -> bool {
    matches!(frame, Some(Frame::SynReply { .. }))
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_and_end_by_themselves() {
    let (mut client, mut streams) = Client::new();
    for id in [1, 3] {
        client.open(id, "data").await;
        assert!(is_reply(client.next().await));
    }
    let (first, second) = (streams.recv().await.unwrap(), streams.recv().await.unwrap());
    assert_eq!((first.id, first.headers.get("streamType")), (1, "data"));
    let ((mut heard, mut say), (mut heard_too, _say_too)) = (first.split(), second.split());
    client.data(1, b"to one", false).await;
    client.data(3, b"to three", true).await;
    assert_eq!(soon(heard.next()).await.unwrap(), "to one");
    assert_eq!(soon(heard_too.next()).await.unwrap(), "to three");
    assert_eq!(soon(heard_too.next()).await, None, "that was all");
    say.write("from one".into()).await.unwrap();
    say.finish().await;
    let data = |fin, data| Some(Frame::Data { stream: 1, fin, data });
    assert_eq!(client.next().await, data(false, "from one".into()));
    assert_eq!(client.next().await, data(true, Bytes::new()));
    client.data(1, b"more", false).await;
    assert_eq!(soon(heard.next()).await.unwrap(), "more", "the other side is open still");
    client.send(Frame::Ping(5)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(5)));
}

#[tokio::test]
async fn a_stream_is_refused_or_reset_alone() {
    let (mut client, mut streams) = Client::new();
    client.open(1, "odd").await;
    assert!(is_reply(client.next().await));
    // Dropped unread, it is told to have ended.
    let reset = |frame| matches!(frame, Some(Frame::RstStream { stream: 1, .. }));
    assert!(reset(client.next().await) && reset(client.next().await));
    client.data(1, b"late", true).await;
    assert_eq!(client.next().await, Some(Frame::WindowUpdate { stream: 0, delta: 4 }), "nobody has read it");
    client.data(9, b"none", false).await;
    assert_eq!(client.next().await, Some(Frame::RstStream { stream: 9, status: 2 }));
    client.open(11, "data").await;
    assert!(is_reply(client.next().await));
    let (mut heard, say) = streams.recv().await.unwrap().split();
    client.send(Frame::RstStream { stream: 11, status: 5 }).await;
    assert_eq!(soon(heard.next()).await, None);
    drop(say);
    assert!(matches!(client.next().await, Some(Frame::RstStream { stream: 11, .. })));
}

#[tokio::test]
async fn windows_count_from_when_a_client_tells_of_one() {
    let (mut client, mut streams) = Client::new();
    client.send(Frame::Settings { initial_window: Some(10) }).await;
    client.open(1, "data").await;
    assert!(is_reply(client.next().await));
    let (_heard, mut say) = streams.recv().await.unwrap().split();
    let writes = tokio::spawn(async move {
        for piece in [&[1; 10][..], &[2; 10]] {
            say.write(Bytes::from_static(piece)).await.unwrap();
        }
        say.finish().await;
    });
    assert!(matches!(client.next().await, Some(Frame::Data { data, .. }) if data[..] == [1; 10]));
    client.send(Frame::Ping(1)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(1)), "nothing else comes before there is room");
    client.send(Frame::WindowUpdate { stream: 1, delta: 10 }).await;
    assert!(matches!(client.next().await, Some(Frame::Data { data, .. }) if data[..] == [2; 10]));
    soon(writes).await.unwrap();
}

#[tokio::test]
async fn what_a_stream_has_read_may_be_sent_again() {
    let (mut client, mut streams) = Client::new();
    client.open(1, "data").await;
    assert!(is_reply(client.next().await));
    let (mut heard, mut say) = streams.recv().await.unwrap().split();
    client.data(1, &[7; DATA_BYTES_MAX], false).await;
    let mut read = 0;
    while read < DATA_BYTES_MAX {
        read += soon(heard.next()).await.unwrap().len();
    }
    for stream in [1, 0] {
        let delta = DATA_BYTES_MAX as u32;
        assert_eq!(client.next().await, Some(Frame::WindowUpdate { stream, delta }));
    }
    say.write(vec![8; 2 * DATA_BYTES_MAX].into()).await.unwrap();
    let mut came = 0;
    while came < 2 * DATA_BYTES_MAX {
        let Some(Frame::Data { data, .. }) = client.next().await else { panic!("data") };
        came += data.len();
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_with_a_farewell() {
    let headers = |client: &mut Client| client.deflater.write(&[("streamtype", "data")]);
    let ways: [fn(&mut Client, Bytes) -> Frame; 4] = [
        |_, headers| Frame::SynStream { stream: 2, fin: false, headers },
        |_, headers| Frame::SynStream { stream: 0, fin: false, headers },
        |_, _| Frame::SynStream { stream: 1, fin: false, headers: Bytes::from_static(b"nonsense") },
        |_, _| Frame::Headers { stream: 1, fin: false, headers: Bytes::from_static(b"nonsense") },
    ];
    for way in ways {
        let (mut client, _streams) = Client::new();
        let headers = headers(&mut client);
        let frame = way(&mut client, headers);
        client.send(frame).await;
        assert!(matches!(client.next().await, Some(Frame::GoAway { status: 1, .. })));
        assert_eq!(client.next().await, None);
    }
}

#[tokio::test]
async fn only_so_many_streams_are_open_and_those_that_ended_do_not_count() {
    let (mut client, mut streams) = Client::new();
    for at in 0..2 * STREAMS_MAX as u32 {
        client.open(2 * at + 1, "data").await;
        assert!(is_reply(client.next().await));
        client.data(2 * at + 1, b"", true).await;
        let (_, say) = streams.recv().await.unwrap().split();
        say.finish().await;
        assert!(matches!(client.next().await, Some(Frame::Data { fin: true, .. })));
    }
    for at in 2 * STREAMS_MAX as u32..3 * STREAMS_MAX as u32 {
        client.open(2 * at + 1, "data").await;
        assert!(is_reply(client.next().await));
    }
    client.open(u32::MAX >> 1, "data").await;
    assert!(matches!(client.next().await, Some(Frame::GoAway { status: 1, .. })));
}
