//! What clients send, read by the code that ships: for whoever feeds it damaged bytes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::{
    rest::{aggregate::offered, path, query::Query},
    spdy::{
        frame::{Decoder, Frame},
        headers::{Deflater, Inflater},
    },
    websocket::{
        channels::{self, Coding},
        read_all,
    },
};

/// Reads a URL's path and query and all that a list takes from the query; whether it is understood.
#[must_use]
pub fn url(text: &str) -> bool {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let (endpoint, query) = (path::parse(path, Arc::default), Query::parse(query));
    endpoint.is_some()
        && query.is_ok_and(|query| {
            let (state, watch, limit) = (query.state(), query.watch_start(), query.count("limit"));
            limit.is_ok() && (state.is_ok() || watch.is_ok())
        })
}

/// Reads frames of SPDY and the headers in them; whether all of it is understood.
#[must_use]
pub fn spdy(bytes: &[u8]) -> bool {
    let (mut decoder, mut inflater, mut bytes) = (Decoder::default(), Inflater::default(), BytesMut::from(bytes));
    loop {
        match decoder.next(&mut bytes) {
            Ok(Some(
                Frame::SynStream { headers, .. } | Frame::SynReply { headers, .. } | Frame::Headers { headers, .. },
            )) => {
                if inflater.read(&headers).is_err() {
                    return false;
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Frames of SPDY that are understood: streams with so many headers, and their data.
#[must_use]
pub fn spdy_sample(headers: u8) -> Vec<u8> {
    let (mut deflater, mut bytes) = (Deflater::default(), BytesMut::new());
    let ports: Vec<String> = (0..headers).map(|port| format!("port{port}")).collect();
    for stream in [1, 3] {
        let headers: Vec<(&str, &str)> = ports.iter().map(|port| ("streamtype", port.as_str())).collect();
        Frame::SynStream { stream, fin: stream == 1, headers: deflater.write(&headers) }.encode(&mut bytes);
        Frame::Data { stream, fin: true, data: Bytes::from_static(b"some bytes") }.encode(&mut bytes);
    }
    Frame::Ping(1).encode(&mut bytes);
    Frame::Settings { initial_window: Some(65_536) }.encode(&mut bytes);
    Frame::WindowUpdate { stream: 1, delta: 9 }.encode(&mut bytes);
    Frame::GoAway { last_stream: 0, status: 0 }.encode(&mut bytes);
    bytes.to_vec()
}

/// Reads frames of a WebSocket, and their messages as those of channels in both codings; whether all of it is understood.
#[must_use]
pub fn websocket(bytes: &[u8]) -> bool {
    let mut is_understood = true;
    let ends = read_all(bytes, |message| {
        let coding = if message.is_text() { Coding::Base64 } else { Coding::Binary };
        if message.is_text() || message.is_binary() {
            is_understood &= channels::decode(message.into_data(), coding).is_some();
        }
    });
    ends && is_understood
}

/// The group and version for which [`offered`](offered()) reads a list.
const GROUP: &str = "metrics.example.org";
const VERSION: &str = "v1beta1";

/// Reads what a backend says that it offers; whether that is understood.
#[must_use]
pub fn offered(bytes: &[u8]) -> bool {
    offered::read(GROUP, VERSION, bytes).is_ok()
}

/// A list that is understood, of so many resources.
#[must_use]
pub fn offered_sample(resources: u8) -> Vec<u8> {
    let resource = |number| {
        serde_json::json!({
            "name": format!("things{number}"), "singularName": "thing", "namespaced": number % 2 == 0, "kind": "Thing",
            "verbs": ["get", "list"], "shortNames": ["t"], "categories": ["all"],
        })
    };
    let below = serde_json::json!({
        "name": "things0/scale", "singularName": "", "namespaced": true, "group": "autoscaling", "version": "v1",
        "kind": "Scale", "verbs": ["get", "update"],
    });
    let resources: Vec<serde_json::Value> = (0..resources).map(resource).chain([below]).collect();
    serde_json::json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": resources,
    })
    .to_string()
    .into_bytes()
}
