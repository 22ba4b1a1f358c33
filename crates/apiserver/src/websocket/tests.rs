//! Watches over WebSocket, through the port that serves everything, and what else is spoken in one.
#![expect(clippy::unwrap_used, reason = "tests")]

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{Role, frame::coding::CloseCode},
    },
};

use super::{
    bytes::within,
    channels::{self, Coding},
};
use crate::tests::{Server, config_map, soon};

type Client = WebSocketStream<TlsStream<TcpStream>>;

const WATCH: &str = "/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=0";
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Asks for a path with some headers more; the head of the answer.
async fn ask(server: &Server, path: &str, headers: &str) -> (String, TlsStream<TcpStream>) {
    let mut stream = server.connect().await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

async fn open(server: &Server, path: &str, headers: &str) -> Client {
    let (head, stream) = ask(server, path, &format!("{HANDSHAKE}{headers}")).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

async fn next(client: &mut Client) -> Message {
    soon(client.next()).await.unwrap().unwrap()
}

fn event(text: &str) -> (String, String) {
    assert!(!text.ends_with('\n'), "a message needs no separator");
    let event: Value = serde_json::from_str(text).unwrap();
    let word = |pointer: &str| event.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    (word("/type"), word("/object/metadata/name"))
}

#[tokio::test]
async fn a_watch_tells_an_event_a_message_until_the_client_closes_it() {
    let server = Server::new().await;
    let client = server.client();
    let mut plain = open(&server, &format!("{WATCH}&fieldSelector=metadata.name%21=kube-root-ca.crt"), "").await;
    let based = "Sec-WebSocket-Protocol: base64.binary.k8s.io\r\n";
    let mut based = open(&server, &format!("{WATCH}&fieldSelector=metadata.name%21=kube-root-ca.crt"), based).await;
    client.create(config_map("a", "1")).await.unwrap();
    client.create(config_map("b", "1")).await.unwrap();
    for name in ["a", "b"] {
        let Message::Text(text) = next(&mut plain).await else { panic!("JSON is text") };
        assert_eq!(event(&text), ("ADDED".to_owned(), name.to_owned()));
        let Message::Text(text) = next(&mut based).await else { panic!("base64 is text") };
        let text = String::from_utf8(BASE64_STANDARD.decode(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(event(&text).1, name);
    }
    plain.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(next(&mut plain).await, Message::Pong("are you there".into()));
    plain.close(None).await.unwrap();
    assert!(matches!(next(&mut plain).await, Message::Close(_)));
    assert!(soon(plain.next()).await.is_none_or(|ended| ended.is_err()), "and that is the end");
}

#[tokio::test]
async fn a_watch_that_is_over_says_so() {
    let server = Server::new().await;
    let mut client = open(&server, &format!("{WATCH}&timeoutSeconds=1"), "").await;
    loop {
        match next(&mut client).await {
            Message::Close(frame) => break assert_eq!(frame.unwrap().code, CloseCode::Normal),
            message => assert!(message.is_text(), "{message:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_closes_watches() {
    let server = Server::new().await;
    let mut client = open(&server, WATCH, "").await;
    server.shutdown.cancel();
    while !matches!(next(&mut client).await, Message::Close(_)) {}
    soon(server.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_with_a_code() {
    let server = Server::new().await;
    let mut long = open(&server, WATCH, "").await;
    long.send(Message::Binary(vec![0; 65 << 10].into())).await.unwrap();
    let mut odd = open(&server, WATCH, "").await;
    // A frame with an opcode that means nothing.
    odd.get_mut().write_all(&[0x8b, 0x80, 0, 0, 0, 0]).await.unwrap();
    odd.get_mut().flush().await.unwrap();
    for (client, code) in [(&mut long, CloseCode::Size), (&mut odd, CloseCode::Protocol)] {
        loop {
            match next(client).await {
                Message::Close(frame) => break assert_eq!(frame.unwrap().code, code),
                message => assert!(message.is_text(), "{message:?}"),
            }
        }
    }
}

#[tokio::test]
async fn nobody_gets_in_by_a_websocket_who_does_not_otherwise() {
    let server = Server::new().await;
    for (path, headers, answer) in [
        (WATCH, "Origin: https://evil.example\r\n", "HTTP/1.1 403 "),
        (WATCH, "Sec-WebSocket-Protocol: chat\r\n", "HTTP/1.1 400 "),
        ("/api/v1/namespaces/default/pods/nobody/log", "", "HTTP/1.1 404 "),
        ("/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=x", "", "HTTP/1.1 400 "),
    ] {
        let (head, _) = ask(&server, path, &format!("{HANDSHAKE}{headers}")).await;
        assert!(head.starts_with(answer), "{path} {headers}: {head}");
    }
    let config = server.nobody();
    let mut stream = server.connect_as(config).await;
    let request = format!("GET {WATCH} HTTP/1.1\r\nHost: {}\r\n{HANDSHAKE}\r\n", server.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answered = [0; 12];
    soon(stream.read_exact(&mut answered)).await.unwrap();
    assert_eq!(&answered, b"HTTP/1.1 401");
}

/// A client at the other end of a conversation.
async fn near<F: Future<Output = ()> + Send + 'static>(
    conversation: impl FnOnce(DuplexStream) -> F,
) -> WebSocketStream<DuplexStream> {
    let (near, far) = tokio::io::duplex(64 << 10);
    tokio::spawn(conversation(far));
    WebSocketStream::from_raw_socket(near, Role::Client, None).await
}

async fn said(client: &mut WebSocketStream<DuplexStream>) -> Message {
    soon(client.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn channels_carry_both_ways_and_end_when_all_was_said() {
    for coding in [Coding::Binary, Coding::Base64] {
        let mut client = near(move |bytes| {
            channels::carry(
                bytes,
                coding,
                vec![0, 2],
                |out: channels::Sender, mut heard: Vec<channels::Receiver>| async move {
                    // What comes on one channel goes back on the one behind it, until its client ends it.
                    let mut second = heard.remove(1);
                    while let Some(bytes) = second.recv().await {
                        out.send((3, bytes)).await.unwrap();
                    }
                },
            )
        })
        .await;
        let message = |binary: &'static [u8], text: &'static str| match coding {
            Coding::Binary => Message::Binary(binary.into()),
            Coding::Base64 => Message::Text(text.into()),
        };
        client.send(message(b"\x00nobody reads this", "0AA==")).await.unwrap();
        client.send(message(b"\x02hello", "2aGVsbG8=")).await.unwrap();
        assert_eq!(said(&mut client).await, message(b"\x03hello", "3aGVsbG8="));
        if coding == Coding::Binary {
            client.send(Message::Binary(b"\xff\x02"[..].into())).await.unwrap();
            let Message::Close(Some(frame)) = said(&mut client).await else { panic!("it is over") };
            assert_eq!(frame.code, CloseCode::Normal);
        }
    }
}

#[tokio::test]
async fn a_message_without_a_channel_ends_the_conversation() {
    let mut client = near(|bytes| {
        channels::carry(
            bytes,
            Coding::Binary,
            vec![0],
            |out: channels::Sender, _: Vec<channels::Receiver>| async move {
                out.closed().await;
            },
        )
    })
    .await;
    client.send(Message::Binary(Vec::new().into())).await.unwrap();
    let Message::Close(Some(frame)) = said(&mut client).await else { panic!("it is over") };
    assert_eq!(frame.code, CloseCode::Invalid);
    assert!(frame.reason.contains("channel"), "{frame:?}");
}

#[tokio::test]
async fn bytes_are_carried_in_messages_of_any_length() {
    let mut client = near(|bytes| async move {
        let mut bytes = within(bytes).await;
        let mut heard = [0; 6];
        bytes.read_exact(&mut heard).await.unwrap();
        bytes.write_all(&heard).await.unwrap();
        bytes.flush().await.unwrap();
        assert_eq!(bytes.read(&mut heard).await.unwrap(), 0, "the client has closed it");
    })
    .await;
    for piece in ["a", "", "bcd", "ef"] {
        client.send(Message::Binary(piece.into())).await.unwrap();
    }
    assert_eq!(said(&mut client).await, Message::Binary("abcdef".into()));
    client.close(None).await.unwrap();
    assert!(matches!(said(&mut client).await, Message::Close(_)));
}
