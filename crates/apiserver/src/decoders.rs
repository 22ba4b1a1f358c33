//! The texts that clients hand back or make up, read by the code that ships: for whoever feeds it damaged ones.

use store::View;

use crate::{
    registry::read::page_of,
    rest::{path, query::Query},
};

/// Reads the token of a page and the page in a state: the token again, and the one of the next page; `None` if it is refused.
#[must_use]
pub fn page(view: &View, token: &str) -> Option<(String, Option<String>)> {
    let (query, page) = page_of(view, token)?;
    Some((query.continue_?, page.continue_))
}

/// Reads a URL's path and query and all that a list takes from the query; whether it is understood.
#[must_use]
pub fn url(text: &str) -> bool {
    let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
    let (place, query) = (path::parse(place), Query::parse(query));
    place.is_some()
        && query.is_ok_and(|query| {
            let (state, watch, limit) = (query.state(), query.watch_start(), query.count("limit"));
            limit.is_ok() && (state.is_ok() || watch.is_ok())
        })
}
