//! `pods/exec` and `pods/attach`: what `kubectl` speaks with a program in a Pod, up to the point where there would be one.
//!
//! The streams are opened as Kubernetes opens them, and end with a `Status` that says what is missing.

use api::{Error, Subresource};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response};
use tokio::task::JoinSet;

use super::{Asked, Rest, answer, path::Target, query::Query};
use crate::{
    spdy::{self, connection::Stream},
    upgrade,
    websocket::{
        channels::{self, Coding},
        handshake,
    },
};

/// The versions, and whether errors are told in words only. From the fourth on they are a `Status`.
const VERSIONS: [(&str, Errors); 5] = [
    ("v5.channel.k8s.io", Errors::Status),
    ("v4.channel.k8s.io", Errors::Status),
    ("v3.channel.k8s.io", Errors::Words),
    ("v2.channel.k8s.io", Errors::Words),
    ("channel.k8s.io", Errors::Words),
];

/// The same for a WebSocket, with the way in which its messages are written.
const OFFERS: [(&str, (Coding, Errors)); 6] = [
    ("v5.channel.k8s.io", (Coding::Binary, Errors::Status)),
    ("v4.channel.k8s.io", (Coding::Binary, Errors::Status)),
    ("v4.base64.channel.k8s.io", (Coding::Base64, Errors::Status)),
    ("channel.k8s.io", (Coding::Binary, Errors::Words)),
    ("base64.channel.k8s.io", (Coding::Base64, Errors::Words)),
    ("", (Coding::Binary, Errors::Words)),
];

/// The channels on which a client speaks: what the program reads, and the size of its terminal.
const SPOKEN: [u8; 2] = [0, 4];

/// The channel for what went wrong.
const ERRORS: u8 = 3;

/// How errors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errors {
    Words,
    Status,
}

/// How a request wants to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Spdy(Errors),
    Channels(Coding, Errors),
}

impl Rest {
    pub(super) async fn remote(&self, target: &Target, asked: &Asked) -> Result<Response<Body>, Error> {
        check(target.subresource, &asked.query)?;
        let (way, mut response) = way(&asked.headers)?;
        let wanted = asked.query.text("container");
        self.registry.running_container(&target.key(), wanted, target.subresource).await?;
        answer::warn(&mut response, &self.may_connect(&target.key(), target.subresource, asked).await?);
        let missing = missing(target.subresource);
        Ok(upgrade::then(response, move |bytes| async move {
            match way {
                Way::Spdy(errors) => over_spdy(bytes, told(&missing, errors)).await,
                Way::Channels(coding, errors) => over_channels(bytes, coding, told(&missing, errors)).await,
            }
        }))
    }
}

/// What is missing.
fn missing(subresource: Subresource) -> Error {
    let why = if subresource == Subresource::Attach {
        "attach: a sandbox has no terminal yet; look at its output with `logs --follow`"
    } else {
        "exec: a sandbox is one WebAssembly program, without a shell or others beside it; look at its output with `logs`"
    };
    Error::internal(why)
}

/// Refuses what Kubernetes refuses.
fn check(subresource: Subresource, query: &Query) -> Result<(), Error> {
    let [stdin, stdout, stderr] = ["stdin", "stdout", "stderr"].map(|name| query.flag(name));
    let any = stdin? | stdout? | stderr?;
    if subresource == Subresource::Exec && query.texts("command").all(str::is_empty) {
        return Err(Error::bad_request("command: you must specify at least 1 command for the container"));
    }
    if !any {
        return Err(Error::bad_request("you must specify at least 1 of stdin, stdout, stderr"));
    }
    Ok(())
}

fn way(headers: &HeaderMap) -> Result<(Way, Response<Body>), Error> {
    if handshake::is_asked(headers) {
        let ((coding, errors), response) = handshake::accept(headers, &OFFERS)?;
        return Ok((Way::Channels(coding, errors), response));
    }
    let (errors, response) = spdy::handshake::accept(headers, &VERSIONS, Errors::Words)?;
    Ok((Way::Spdy(errors), response))
}

fn told(error: &Error, errors: Errors) -> Bytes {
    match errors {
        Errors::Words => error.message.clone().into(),
        Errors::Status => answer::status(error).to_string().into(),
    }
}

/// Each stream ends at once; the one for errors says why.
async fn over_spdy(bytes: upgrade::Bytes, why: Bytes) {
    let mut tasks = JoinSet::new();
    spdy::connection::serve(bytes, |stream| {
        while tasks.try_join_next().is_some() {}
        tasks.spawn(end(stream, why.clone()));
        true
    })
    .await;
}

async fn end(stream: Stream, why: Bytes) {
    let is_for_errors = stream.headers.get("streamType") == "error";
    let (mut heard, mut say) = stream.split();
    if is_for_errors {
        // Who is gone hears nothing.
        let _ = say.write(why).await;
    }
    say.finish().await;
    while heard.next().await.is_some() {}
}

async fn over_channels(bytes: upgrade::Bytes, coding: Coding, why: Bytes) {
    let talk = |out: channels::Sender, _| async move {
        // Who is gone hears nothing.
        let _ = out.send((ERRORS, why)).await;
    };
    channels::carry(bytes, coding, SPOKEN.to_vec(), talk).await;
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn errors_are_told_as_the_version_has_it() {
        let error = missing(Subresource::Exec);
        assert!(told(&error, Errors::Words).starts_with(b"exec: "));
        let status: serde_json::Value = serde_json::from_slice(&told(&error, Errors::Status)).unwrap();
        assert_eq!((&status["status"], &status["kind"]), (&"Failure".into(), &"Status".into()));
        assert!(missing(Subresource::Attach).message.contains("terminal"));
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        let checked = |subresource: Subresource, query: &str| {
            check(subresource, &Query::parse(Some(query)).unwrap()).map_err(|error| error.message)
        };
        assert_eq!(checked(Subresource::Exec, "command=ls&stdout=true"), Ok(()));
        assert_eq!(checked(Subresource::Attach, "stdout=1"), Ok(()));
        assert!(checked(Subresource::Exec, "stdout=true").unwrap_err().contains("at least 1 command"));
        assert!(checked(Subresource::Exec, "command=ls").unwrap_err().contains("stdin, stdout, stderr"));
        assert!(checked(Subresource::Attach, "stdin=no").unwrap_err().starts_with("stdin: "));
    }
}
