//! `pods/portforward`: connections to ports of a Pod, over SPDY, over SPDY within a WebSocket, or over channels of a WebSocket.
//!
//! What cannot be opened is told on a stream of its own, which `kubectl` shows; the others go on.

mod pairs;

use api::{Error, Subresource, Verb};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, Stream, StreamExt as _, future::join_all, stream};
use http::{HeaderMap, Response};
use registry::Reach;
use rpc::forward::Tunnel;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Asked, Rest, answer, path::Target, query::Query};
use crate::{
    spdy::{
        self,
        connection::{Gone, Writer},
    },
    upgrade,
    websocket::{
        bytes::within,
        channels::{self, Coding},
        handshake,
    },
};

/// What is spoken over SPDY.
const PROTOCOL: &str = "portforward.k8s.io";

/// The most ports of one request: there are ten digits for channels in base64, and each port has two.
const PORTS_MAX: usize = 5;

/// The most bytes that are read from a Pod at a time.
const READ_BYTES: usize = 16 << 10;

/// How a request wants to speak.
enum Way {
    /// SPDY.
    Spdy,
    /// SPDY within a WebSocket.
    Within,
    /// Channels, for these ports.
    Channels(Coding, Vec<u16>),
}

/// What a WebSocket can be about.
#[derive(Clone, Copy)]
enum Offer {
    Within,
    Channels(Coding),
}

const OFFERS: [(&str, Offer); 4] = [
    ("SPDY/3.1+portforward.k8s.io", Offer::Within),
    ("v4.channel.k8s.io", Offer::Channels(Coding::Binary)),
    ("v4.base64.channel.k8s.io", Offer::Channels(Coding::Base64)),
    ("", Offer::Channels(Coding::Binary)),
];

impl Rest {
    pub(super) async fn port_forward(&self, target: &Target, asked: &Asked) -> Result<Response<Body>, Error> {
        let (way, mut response) = way(&asked.headers, &asked.query)?;
        let reach = self.registry.reach(&target.key(), Verb::Create, Subresource::Portforward).await?;
        answer::warn(&mut response, &self.may_connect(&target.key(), Subresource::Portforward, asked).await?);
        Ok(upgrade::then(response, move |bytes| async move {
            let closing = reach.clone();
            let spoken = async {
                match way {
                    Way::Spdy => pairs::serve(bytes, reach).await,
                    Way::Within => pairs::serve(within(bytes).await, reach).await,
                    Way::Channels(coding, ports) => over_channels(bytes, coding, ports, reach).await,
                }
            };
            tokio::select! {
                () = spoken => {}
                () = closing.closing() => {}
            }
        }))
    }
}

fn way(headers: &HeaderMap, query: &Query) -> Result<(Way, Response<Body>), Error> {
    if handshake::is_asked(headers) {
        let (offer, response) = handshake::accept(headers, &OFFERS)?;
        let way = match offer {
            Offer::Within => Way::Within,
            Offer::Channels(coding) => Way::Channels(coding, ports(query)?),
        };
        return Ok((way, response));
    }
    let ((), response) = spdy::handshake::accept(headers, &[(PROTOCOL, ())], ())?;
    Ok((Way::Spdy, response))
}

/// The ports of a request that has channels.
fn ports(query: &Query) -> Result<Vec<u16>, Error> {
    let ports: Vec<u16> = query.texts("ports").flat_map(|list| list.split(',')).map(port).collect::<Result<_, _>>()?;
    match ports.len() {
        0 => Err(Error::bad_request("ports: name the ports to forward, such as ?ports=8080")),
        1..=PORTS_MAX => Ok(ports),
        count => Err(Error::bad_request(format!("ports: {count} are more than the {PORTS_MAX} of one WebSocket"))),
    }
}

/// A port in text.
fn port(text: &str) -> Result<u16, Error> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Error::bad_request(format!("ports: {text:?} is no port from 1 to 65535")))
}

/// What is told when a port cannot be reached.
fn complaint(reach: &Reach, port: u16, error: &Error) -> Bytes {
    let (name, uid) = (&reach.of().name, reach.uid());
    format!("error forwarding port {port} to pod {name}, uid {uid}: {}", error.message).into()
}

/// Two channels a port: its bytes, and what went wrong. Each begins with the port.
async fn over_channels(bytes: upgrade::Bytes, coding: Coding, ports: Vec<u16>, reach: Reach) {
    let numbers: Vec<u8> = (0..).step_by(2).take(ports.len()).collect();
    let talk = |out: channels::Sender, heard: Vec<channels::Receiver>| {
        let mut all = Vec::new();
        for ((port, data), heard) in ports.into_iter().zip((0..).step_by(2)).zip(heard) {
            all.push(over_channel(reach.clone(), port, OnChannel { data, out: out.clone() }, heard));
        }
        join_all(all).map(drop)
    };
    channels::carry(bytes, coding, numbers, talk).await;
}

async fn over_channel(reach: Reach, port: u16, mut channel: OnChannel, heard: channels::Receiver) {
    // Who is gone hears nothing, here and below.
    let begin = Bytes::copy_from_slice(&port.to_le_bytes());
    let _ = channel.say(begin.clone()).await;
    let _ = channel.complain(begin).await;
    match reach.open(port).await {
        Err(error) => drop(channel.complain(complaint(&reach, port, &error)).await),
        Ok(tunnel) => {
            let said = stream::unfold(heard, |mut heard| async move { Some((heard.recv().await?, heard)) });
            let _ = carry(tunnel, said, &mut channel).await;
        }
    }
}

/// Where a client hears what a Pod says.
trait Say: Send {
    /// Says something, as soon as there is room for it.
    fn say(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Gone>> + Send;
}

impl Say for Writer {
    async fn say(&mut self, bytes: Bytes) -> Result<(), Gone> {
        self.write(bytes).await
    }
}

/// The channel for a port's bytes, which the one for what went wrong follows.
struct OnChannel {
    data: u8,
    out: channels::Sender,
}

impl Say for OnChannel {
    async fn say(&mut self, bytes: Bytes) -> Result<(), Gone> {
        self.out.send((self.data, bytes)).await.map_err(|_| Gone)
    }
}

impl OnChannel {
    async fn complain(&self, bytes: Bytes) -> Result<(), Gone> {
        self.out.send((self.data + 1, bytes)).await.map_err(|_| Gone)
    }
}

/// Carries bytes both ways until the Pod has said everything, or one of them breaks.
async fn carry(tunnel: Tunnel, said: impl Stream<Item = Bytes> + Send, client: &mut impl Say) -> Result<(), Gone> {
    let (mut from, mut to) = tokio::io::split(tunnel);
    let there = async {
        let mut said = std::pin::pin!(said);
        while let Some(bytes) = said.next().await {
            to.write_all(&bytes).await.map_err(|_| Gone)?;
        }
        to.shutdown().await.map_err(|_| Gone)
    };
    let back = async {
        loop {
            let mut bytes = BytesMut::with_capacity(READ_BYTES);
            match from.read_buf(&mut bytes).await {
                Ok(0) => return Ok(()),
                Ok(_) => client.say(bytes.freeze()).await?,
                Err(_) => return Err(Gone),
            }
        }
    };
    tokio::select! {
        ended = back => ended,
        Err(Gone) = there => Err(Gone),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ports_are_named_in_the_query() {
        let ports = |query: &str| ports(&Query::parse(Some(query)).unwrap()).map_err(|error| error.message);
        assert_eq!(ports("ports=80&ports=443,8080"), Ok(vec![80, 443, 8080]));
        for (query, why) in [
            ("", "name the ports"),
            ("ports=", "\"\" is no port"),
            ("ports=0", "\"0\" is no port"),
            ("ports=65536", "\"65536\" is no port"),
            ("ports=http", "\"http\" is no port"),
            ("ports=1,2,3,4,5,6", "6 are more than the 5"),
        ] {
            assert!(ports(query).unwrap_err().contains(why), "{query}");
        }
    }
}
