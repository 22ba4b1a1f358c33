//! Identities of ServiceAccounts and Users: the keys that sign their tokens, and who a token is.
//!
//! A token is a JSON Web Token with Kubernetes' claims. Its signature says that a master made it; whether it still counts is
//! asked of the state with each request, so that a token of an account, User, Pod, Secret or Node that is gone is worth nothing on
//! every master that has heard of it. The keys are in the state, sealed with what only masters have.

mod authenticate;
mod bound;
mod certified;
mod claims;
mod issue;
mod jose;
mod keyring;
mod keys;
mod pull;
mod review;
pub(crate) mod samples;
mod seal;
mod secrets;
mod users;

pub use authenticate::Authenticated;
pub use claims::ISSUER;
pub(crate) use keys::Keys;
pub use pull::Puller;
pub use review::Reviewed;
