//! URLs, read by the code that ships: for whoever feeds it damaged ones.

use crate::rest::{path, query::Query};

/// Reads a URL's path and query and all that a list takes from the query; whether it is understood.
#[must_use]
pub fn url(text: &str) -> bool {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let (endpoint, query) = (path::parse(path), Query::parse(query));
    endpoint.is_some()
        && query.is_ok_and(|query| {
            let (state, watch, limit) = (query.state(), query.watch_start(), query.count("limit"));
            limit.is_ok() && (state.is_ok() || watch.is_ok())
        })
}
