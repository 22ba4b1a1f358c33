//! `kapelle token create`: let a master or a worker join.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use rpc::services::{CreateTokenRequest, Role};

use super::cluster::alone;
use crate::{errln, outln, session::Session};

/// What can be done with tokens.
#[derive(Subcommand, Debug)]
pub enum Token {
    /// Make a token with which one master or worker may join, once
    Create(Create),
}

/// Options of `token create`.
#[derive(Args, Debug)]
pub struct Create {
    /// As what its owner joins
    #[arg(long)]
    role: As,
    /// How long it may be used, such as 15m or 2h; at most 7 days
    #[arg(long, default_value = "15m", value_parser = duration)]
    ttl: Duration,
    /// The only node that may use it, one that is to join anew included; without it, any name that is new
    #[arg(long, alias = "node", value_name = "NAME")]
    node_name: Option<String>,
    /// The address under which the node is reached, if it is not the one that it connects from
    #[arg(long, value_name = "ADDRESS")]
    address: Option<std::net::Ipv4Addr>,
}

/// A role in words.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum As {
    Master,
    Worker,
}

impl Token {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let Self::Create(Create { role, ttl, node_name, address }) = self;
        let role = match role {
            As::Master => Role::Master,
            As::Worker => Role::Worker,
        };
        let request = CreateTokenRequest {
            role: role.into(),
            ttl_seconds: ttl.as_secs().max(1),
            node_name: node_name.unwrap_or_default(),
            address: address.map(|address| address.to_string()).unwrap_or_default(),
        };
        let made = session.client().create_token(request).await.map_err(|error| alone(error.into()))?;
        errln!("works once, until {}", made.expires);
        outln!("{}", made.token)?;
        Ok(())
    }
}

/// A time with its unit: `90s`, `15m`, `2h`, `1d`.
pub(super) fn duration(text: &str) -> Result<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => bail!("give a number with a unit: 90s, 15m, 2h or 1d"),
    };
    match number.parse::<u64>() {
        Ok(number) if number > 0 => Ok(Duration::from_secs(number.saturating_mul(seconds))),
        _ => bail!("give a number above 0 with a unit: 90s, 15m, 2h or 1d"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::duration;

    #[test]
    fn times_need_a_unit() {
        let seconds = |text: &str| duration(text).unwrap().as_secs();
        assert_eq!([seconds("90s"), seconds("15m"), seconds("2h"), seconds("1d")], [90, 900, 7200, 86_400]);
        for wrong in ["", "15", "m", "-1m", "0s", "1w", "1.5h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
