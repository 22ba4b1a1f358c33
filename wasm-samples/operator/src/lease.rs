//! One instance works at a time: whoever holds the Lease. As everywhere in Kubernetes it is taken over when its holder has not
//! renewed it for a while, by the clock of whoever watches, so that clocks need not agree.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::api::{Api, Failure};

/// How long a holder that is silent keeps the Lease, in seconds.
const HELD_S: u64 = 15;

/// How often it is renewed, or looked at.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);

/// A Lease as this instance sees it.
pub struct Lease {
    /// The collection of Leases.
    path: String,
    name: &'static str,
    /// Who this is.
    me: String,
    /// How it was when it last changed, and when that was seen.
    seen: Option<(Value, Instant)>,
}

impl Lease {
    pub fn new(api: &Api, name: &'static str, me: String) -> Self {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", api.namespace);
        Self { path, name, me, seen: None }
    }

    /// Takes or renews the Lease. Answers whether this instance holds it.
    pub async fn hold(&mut self, api: &Api) -> Result<bool, Failure> {
        let one = format!("{}/{}", self.path, self.name);
        let (status, mut lease) = api.ask(Method::GET, &one, None).await?;
        let now = format!("{:.6}", Timestamp::now());
        if status == StatusCode::NOT_FOUND {
            let spec = json!({
                "holderIdentity": self.me, "leaseDurationSeconds": HELD_S, "acquireTime": now, "renewTime": now,
                "leaseTransitions": 0,
            });
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name}, "spec": spec,
            });
            return Ok(api.ask(Method::POST, &self.path, Some(&lease)).await?.0 == StatusCode::CREATED);
        }
        if status != StatusCode::OK {
            return Err(format!("the Lease cannot be read: {}", lease["message"]).into());
        }
        let spec = &mut lease["spec"];
        if spec["holderIdentity"] != self.me.as_str() {
            if !self.is_left(spec) {
                return Ok(false);
            }
            spec["holderIdentity"] = json!(self.me);
            spec["acquireTime"] = json!(now);
            spec["leaseTransitions"] = json!(spec["leaseTransitions"].as_u64().unwrap_or_default() + 1);
        }
        spec["renewTime"] = json!(now);
        // Written as it was read: whoever was faster has made this a conflict.
        Ok(api.ask(Method::PUT, &one, Some(&lease)).await?.0 == StatusCode::OK)
    }

    /// Whether the holder has not renewed it for as long as it says.
    fn is_left(&mut self, spec: &Value) -> bool {
        let held = Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or(HELD_S));
        match &self.seen {
            Some((seen, since)) if seen == spec => since.elapsed() > held,
            _ => {
                self.seen = Some((spec.clone(), Instant::now()));
                spec["holderIdentity"].as_str().is_none_or(str::is_empty)
            }
        }
    }
}
