//! The gRPC door through which masters and workers come in.

use std::{sync::Arc, time::Duration};

use api::Error;
use rpc::{
    identity::{Authority, Csr, Subject},
    services::{self, join_server::Join},
    status::to_tonic,
};
use tonic::{Request, Response, Status};

use crate::{
    access::Access,
    caller::Caller,
    masters::Masters,
    registry::{Invitation, JoinAs, Registry},
};

/// How long the certificate of a master or worker is valid. It is renewed by itself long before.
pub const LEAF_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest name of a node: that of a label, which it becomes.
const NODE_NAME_MAX: usize = 63;

/// The most names and addresses in one certificate.
const HOSTS_MAX: usize = 32;

/// What a master needs to let others in.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// The cluster's authority.
    pub authority: Arc<Authority>,
    /// The masters.
    pub masters: Masters,
    /// Where Pods get their addresses, for whoever joins.
    pub pod_cidr: api::Cidr,
    /// The prefix length of each node's part of it.
    pub node_prefix: u8,
    /// Where Services get their addresses.
    pub service_cidr: api::Cidr,
    /// How long new certificates are valid; [`LEAF_LIFE`] but in tests.
    pub leaf_life: Duration,
}

#[derive(Clone)]
pub(super) struct JoinDoor {
    pub(super) registry: Registry,
    pub(super) entrance: Entrance,
}

type Answer<T> = Result<Response<T>, Status>;

impl JoinDoor {
    async fn let_in(&self, request: services::JoinRequest) -> Result<services::JoinResponse, Error> {
        let role = match request.role() {
            services::Role::Master => JoinAs::Master,
            services::Role::Worker => JoinAs::Worker,
            services::Role::Unspecified => {
                return Err(Error::bad_request("role: say whether to join as MASTER or WORKER"));
            }
        };
        if role == JoinAs::Worker {
            check_name(&request.node_name)?;
        }
        let csr = Csr::from_der(&request.certificate_request).map_err(Error::bad_request)?;
        check_hosts(&request.hosts)?;
        let invitation = Invitation {
            id: request.token_id,
            secret_hash: rpc::identity::secret_hash(&request.token_secret),
            role,
            node: request.node_name.clone(),
        };
        self.registry.redeem(&invitation).await?;
        let member = if role == JoinAs::Master { fresh_member()? } else { 0 };
        let subject = match role {
            JoinAs::Master => Subject::Master { member },
            JoinAs::Worker => Subject::Node { name: request.node_name },
        };
        self.answer(&csr, &subject, &request.hosts, member)
    }

    fn answer(
        &self,
        csr: &Csr,
        subject: &Subject,
        hosts: &[String],
        member: u64,
    ) -> Result<services::JoinResponse, Error> {
        let Entrance { authority, masters, pod_cidr, node_prefix, service_cidr, .. } = &self.entrance;
        let is_master = matches!(subject, Subject::Master { .. });
        Ok(services::JoinResponse {
            certificate_chain: self.issue(csr, subject, hosts)?,
            authority: authority.certificate_pem().to_owned(),
            authority_key: if is_master { authority.key_pem().to_owned() } else { String::new() },
            cluster_id: self.registry.status().cluster.to_string(),
            member_id: member,
            masters: masters.urls(),
            pod_cidr: pod_cidr.to_string(),
            node_prefix: u32::from(*node_prefix),
            service_cidr: service_cidr.to_string(),
        })
    }

    fn issue(&self, csr: &Csr, subject: &Subject, hosts: &[String]) -> Result<String, Error> {
        self.entrance.authority.issue(csr, subject, hosts, self.entrance.leaf_life).map_err(Error::bad_request)
    }
}

/// Ids of members are random and never zero, so that none is ever given twice.
fn fresh_member() -> Result<u64, Error> {
    let random = getrandom::u64().map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    Ok(random.max(1))
}

fn check_name(name: &str) -> Result<(), Error> {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = (1..=NODE_NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| word(byte) || byte == b'-' || byte == b'.')
        && name.bytes().next().is_some_and(word)
        && name.bytes().last().is_some_and(word);
    if is_name {
        return Ok(());
    }
    let message = format!(
        "node_name: {name:?} is not a name for a node: use up to {NODE_NAME_MAX} lower-case letters, digits, '-' and '.', \
         beginning and ending with a letter or digit; give one with --node-name"
    );
    Err(Error::bad_request(message))
}

fn check_hosts(hosts: &[String]) -> Result<(), Error> {
    if hosts.len() <= HOSTS_MAX {
        return Ok(());
    }
    Err(Error::bad_request(format!("hosts: {} are more than the {HOSTS_MAX} that fit into a certificate", hosts.len())))
}

#[tonic::async_trait]
impl Join for JoinDoor {
    async fn join(&self, request: Request<services::JoinRequest>) -> Answer<services::JoinResponse> {
        let joined = self.let_in(request.into_inner()).await.map_err(|error| to_tonic(&error))?;
        Ok(Response::new(joined))
    }

    async fn renew(&self, request: Request<services::RenewRequest>) -> Answer<services::RenewResponse> {
        let caller = request.extensions().get::<Caller>().cloned().unwrap_or(Caller::Nobody);
        let registry = self.registry.for_caller(caller);
        registry.authorise(Access::Renew).await.map_err(|error| to_tonic(&error))?;
        let subject = match registry.caller().clone() {
            Caller::Master { member } => Subject::Master { member },
            Caller::Node { name } => Subject::Node { name },
            Caller::Cluster | Caller::Admin { .. } | Caller::Nobody => {
                return Err(to_tonic(&Error::internal("only masters and workers have certificates to renew")));
            }
        };
        let request = request.into_inner();
        let renewed = Csr::from_der(&request.certificate_request).map_err(Error::bad_request).and_then(|csr| {
            check_hosts(&request.hosts)?;
            self.issue(&csr, &subject, &request.hosts)
        });
        let certificate_chain = renewed.map_err(|error| to_tonic(&error))?;
        Ok(Response::new(services::RenewResponse { certificate_chain }))
    }
}
