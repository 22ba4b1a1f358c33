//! `kapelle user …`: people and machines that are known by a token.

use std::time::Duration;

use anyhow::{Context as _, Result};
use api::{
    DeleteOptions, Key, Kind, Object, Timestamp, authentication_v1::TokenRequestSpec, identity_v1, kinds::Resource as _,
};
use clap::{Args, Subcommand};
use rpc::Query;

use super::token::duration;
use crate::{
    errln, out, outln,
    output::{self, TableOptions},
    session::{Session, now},
};

/// What can be done with users.
#[derive(Subcommand, Debug)]
pub enum User {
    /// Make a user, and print its first token
    Create(Create),
    /// Show who there is, and for how long
    List,
    /// Refuse a user and each of its tokens, from now on
    Revoke {
        /// The user
        name: String,
    },
}

/// Options of `user create`.
#[derive(Args, Debug)]
pub struct Create {
    /// The name, by which role bindings know the user
    name: String,
    /// A group that the user is in; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// How long the user counts, such as 8h or 90d
    #[arg(long = "for", value_name = "TIME", default_value = "90d", value_parser = duration)]
    lasting: Duration,
}

impl User {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::List => list(session).await,
            Self::Revoke { name } => {
                session.delete(&Key::cluster(Kind::User, name.as_str()), &DeleteOptions::default()).await?;
                outln!("user {name:?} revoked: none of its tokens counts any more")?;
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self, session: &Session) -> Result<()> {
        let Self { name, groups, lasting } = self;
        let end = now().after(lasting);
        let spec = identity_v1::UserSpec { groups, expiration_timestamp: Some(end.into()) };
        let mut user = identity_v1::User { spec: Some(spec), ..identity_v1::User::default() };
        name.clone_into(&mut user.metadata_mut().name);
        session.client().create(user.into()).await?;
        let untold =
            || format!("the user {name:?} is there, but has no token yet; `kapelle kubeconfig {name}` makes one");
        let token = token(session, &name, None).await.with_context(untold)?;
        errln!("user {name:?} counts until {end}. Its token is shown only now; whoever has it is {name}:");
        outln!("{token}")?;
        errln!("for kubectl and kapelle: kapelle kubeconfig {name} --output {name}.kubeconfig");
        Ok(())
    }
}

/// A new token of a user, which lives as long as the user unless it is to end before.
pub(super) async fn token(session: &Session, name: &str, lasting: Option<Duration>) -> Result<String, api::Error> {
    let expiration_seconds = lasting.map(|lasting| i64::try_from(lasting.as_secs()).unwrap_or(i64::MAX));
    let spec = TokenRequestSpec { expiration_seconds, ..TokenRequestSpec::default() };
    Ok(session.client().request_token(&Key::cluster(Kind::User, name), spec).await?.token)
}

async fn list(session: &Session) -> Result<()> {
    let users: Vec<Object> = session.list(&Query::all(Kind::User)).await?.0;
    if users.is_empty() {
        errln!("No users. `kapelle user create NAME` makes one.");
        return Ok(());
    }
    let (users, now): (Vec<&Object>, Timestamp) = (users.iter().collect(), now());
    out!("{}", output::align(&output::rows(Kind::User, &users, now, TableOptions::default())))?;
    Ok(())
}
