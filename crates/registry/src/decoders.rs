//! Tokens of pages, which clients hand back, read by the code that ships: for whoever feeds it damaged ones.

use store::View;

use crate::read::page_of;

/// Reads the token of a page and the page in a state: the token again, and the one of the next page; `None` if it is refused.
#[must_use]
pub fn page(view: &View, token: &str) -> Option<(String, Option<String>)> {
    let (query, page) = page_of(view, token)?;
    Some((query.continue_?, page.continue_))
}
