//! Watches: changes as lines of JSON, messages of protobuf or items of CBOR, for as long as the client wants to listen. Over a
//! WebSocket each is a message of its own.

use std::{convert::Infallible, time::Duration};

use api::{Error, Reason};
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Response, StatusCode};
use registry::{Item, WatchFrom, WatchQuery};

use super::{
    Asked, Rest,
    accept::Encoding,
    answer,
    gather::Gather,
    lines,
    objects::{read_at, selectors},
    path::Target,
    query::WatchStart,
    render::{Header, View},
};
use crate::{
    upgrade,
    websocket::{
        feed::{self, Form},
        handshake,
    },
};

/// How long a watch lasts if the client does not say: half an hour, and up to as much again, so that the watches which a
/// restart brought all at once do not end all at once.
const TIMEOUT_MIN: Duration = Duration::from_secs(30 * 60);

impl Rest {
    /// Opens a watch. What makes it impossible is an HTTP error; what ends it later is a line.
    pub(super) async fn watch(&self, target: &Target, asked: &Asked) -> Result<Response<Body>, Error> {
        let view = self.view(target, asked)?;
        match view.encoding {
            Encoding::Json | Encoding::Cbor | Encoding::Protobuf => {}
            Encoding::Yaml => {
                let message = "a watch cannot be answered as application/yaml; accept application/json";
                return Err(Error::new(Reason::NotAcceptable, message));
            }
        }
        let timeout = match asked.query.watch_timeout()? {
            Some(timeout) => timeout,
            None => default_timeout(),
        };
        let socket = socket(&asked.headers, view)?;
        let items = self.registry.watch(watch_query(target, asked)?).await?;
        let open = self.watches.open();
        let items = Gather::new(items, move || open.pace()).take_until(tokio::time::sleep(timeout));
        let mut writer = Writer { view, header: Header::Shown, rest: self.clone() };
        Ok(match socket {
            None => {
                let lines = items.map(move |batch| Ok::<_, Infallible>(writer.batch(&batch)));
                answer::stream(StatusCode::OK, view.stream_type(), Body::from_stream(lines))
            }
            Some((form, response)) => {
                let messages = items.map(move |batch| writer.messages(&batch));
                upgrade::then(response, move |bytes| feed::feed(bytes, messages, form))
            }
        })
    }
}

/// Spread, so that watches that began together do not end together.
fn default_timeout() -> Duration {
    rand::random_range(TIMEOUT_MIN..=TIMEOUT_MIN * 2)
}

fn watch_query(target: &Target, asked: &Asked) -> Result<WatchQuery, Error> {
    let (labels, fields) = selectors(target, asked)?;
    let (start, bookmarks) = (asked.query.watch_start()?, asked.query.flag("allowWatchBookmarks")?);
    Ok(WatchQuery {
        kind: target.served.kind(),
        namespace: target.within(),
        labels,
        fields,
        from: match start {
            WatchStart::Existing(state) | WatchStart::ExistingMarked(state) => WatchFrom::Existing(read_at(state)),
            WatchStart::Now => WatchFrom::Now,
            WatchStart::After(revision) => WatchFrom::After(revision),
        },
        bookmarks,
        // The end of what existed is told by a bookmark, to who takes them.
        send_initial_events: bookmarks && matches!(start, WatchStart::ExistingMarked(_)),
    })
}

/// How a watch is told as messages, if the client asks for a WebSocket, and the answer that grants it.
fn socket(headers: &HeaderMap, view: View) -> Result<Option<(Form, Response<Body>)>, Error> {
    if !handshake::is_asked(headers) {
        return Ok(None);
    }
    let (wanted, response) = handshake::accept(headers, &feed::PROTOCOLS)?;
    let usual = match view.encoding {
        Encoding::Protobuf | Encoding::Cbor => Form::Binary,
        Encoding::Json | Encoding::Yaml => Form::Text,
    };
    Ok(Some((wanted.unwrap_or(usual), response)))
}

/// Turns items into lines of one form.
struct Writer {
    view: View,
    header: Header,
    rest: Rest,
}

impl Writer {
    /// One chunk a batch: each is flushed as it comes, and a burst costs one write.
    fn batch(&mut self, items: &[Item]) -> Bytes {
        match self.lines(items).as_slice() {
            [line] => line.clone(),
            lines => lines.concat().into(),
        }
    }

    /// One message an item.
    fn messages(&mut self, items: &[Item]) -> Vec<Bytes> {
        let lines = self.lines(items);
        lines.iter().map(|line| lines::unframed(line, self.view)).collect()
    }

    fn lines(&mut self, items: &[Item]) -> Vec<Bytes> {
        self.view.now = self.rest.registry.now();
        items.iter().map(|item| self.item(item)).collect()
    }

    fn item(&mut self, item: &Item) -> Bytes {
        let header = std::mem::replace(&mut self.header, Header::Omitted);
        match item {
            Item::Change { change, object, .. } => self.rest.lines.change(*change, object, self.view, header),
            Item::Bookmark { revision, initial_end } => lines::bookmark(*revision, *initial_end, self.view, header),
            Item::Error(error) => lines::error(error, self.view),
        }
    }
}
