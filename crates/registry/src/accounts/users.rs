//! Tokens of Users: given to whoever might act as the User anyhow, and never for longer than the User lives.

use api::{Error, Key, Reason, Timestamp, authentication_v1::TokenRequestSpec, error::Cause, identity_v1::User};
use store::View;

use super::{
    claims::{About, seconds},
    issue::{Wanted, invalid, named},
};
use crate::{Registry, access::Caller};

impl Registry {
    /// The User of whom a token is to speak. What it could not be is refused, and its life ends with the User's.
    pub(super) fn about_user(
        &self,
        view: &View,
        key: &Key,
        spec: &TokenRequestSpec,
        wanted: &mut Wanted,
    ) -> Result<About, Error> {
        if spec.bound_object_ref.is_some() {
            let message = "Forbidden: the token of a User ends with the User and with nothing else; leave it out";
            return Err(invalid("spec.boundObjectRef", "FieldValueForbidden", message.to_owned()));
        }
        let object = view.get(key).ok_or_else(|| Error::not_found(key))?.object();
        let user = object.get::<User>().ok_or_else(|| Error::not_found(key))?;
        if let Caller::User(asker) = self.caller() {
            asker.may_be(key, user, &self.inner.rights.of(view))?;
        }
        if user.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_some()) {
            return Err(Error::new(Reason::Conflict, format!("the User {:?} is being deleted", key.name)).about(key));
        }
        let end = user.spec.as_ref().and_then(|spec| spec.expiration_timestamp.as_ref()).map(Timestamp::from);
        if let Some(end) = end {
            let left_s = seconds(end).saturating_sub(seconds(self.now()));
            if left_s <= 0 {
                return Err(expired(key, end));
            }
            if left_s < wanted.life_s {
                wanted.shorten(left_s, spec.expiration_seconds);
            }
        }
        Ok(About::User(named(view, key)?))
    }
}

fn expired(key: &Key, end: Timestamp) -> Error {
    let message = format!("the User expired at {end}; set a later time, or none");
    let cause = Cause { reason: "FieldValueInvalid", field: "spec.expirationTimestamp".to_owned(), message };
    Error { causes: vec![cause.clone()], ..Error::new(Reason::Conflict, format!("{}: {}", cause.field, cause.message)) }
        .about(key)
}
