//! Tokens of pages, which clients hand back, tokens of ServiceAccounts, answers of webhooks, and roles, read by the code that ships:
//! for whoever feeds it damaged ones.

use store::View;

use crate::{access, accounts::samples, admission, read::page_of};

/// Reads the token of a page and the page in a state: the token again, and the one of the next page; `None` if it is refused.
#[must_use]
pub fn page(view: &View, token: &str) -> Option<(String, Option<String>)> {
    let (query, page) = page_of(view, token)?;
    Some((query.continue_?, page.continue_))
}

/// Reads what a webhook answers to a review with the uid `u`, in either version; whether one is understood.
#[must_use]
pub fn review(bytes: &[u8]) -> bool {
    admission::is_answer(bytes, "u")
}

/// A token of a ServiceAccount with these claims, whatever they are, signed with a key that is another one in each process.
#[must_use]
pub fn sign_account_token(claims: &[u8]) -> Option<String> {
    samples::token(claims)
}

/// Reads a token of a ServiceAccount; whether that key has signed it, and its claims are understood.
#[must_use]
pub fn account_token(text: &str) -> bool {
    samples::is_understood(text)
}

/// Reads a role or binding as JSON and decides with it; whether it lets somebody read Secrets. `None` if it is refused.
#[must_use]
pub fn role(text: &[u8]) -> Option<bool> {
    access::reads_secrets(text)
}
