//! The gRPC service through which masters and workers come in.

use std::{net::IpAddr, sync::Arc, time::Duration};

use api::Error;
use registry::{Access, Caller, Masters, Presented, Registry, Worker, fresh_member};
use rpc::{
    identity::{Authority, Csr, Subject},
    services::{self, join_server::Join},
    status::to_tonic,
};
use tonic::{Request, Response, Status};

use crate::sender;

/// How long the certificate of a master or worker is valid. It is renewed by itself long before.
pub const LEAF_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest name of a node: that of a label, which it becomes.
pub(super) const NODE_NAME_MAX: usize = 63;

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
pub(super) struct JoinService {
    pub(super) registry: Registry,
    pub(super) entrance: Entrance,
}

type Answer<T> = Result<Response<T>, Status>;

impl JoinService {
    async fn let_in(&self, request: services::JoinRequest, from: IpAddr) -> Result<services::JoinResponse, Error> {
        let csr = Csr::from_der(&request.certificate_request).map_err(Error::bad_request)?;
        let token =
            Presented { secret_hash: rpc::identity::secret_hash(&request.token_secret), id: request.token_id.clone() };
        match request.role() {
            services::Role::Master => self.master(&csr, &token).await,
            services::Role::Worker => self.worker(&csr, &token, &worker(request, from)?).await,
            services::Role::Unspecified => Err(Error::bad_request("role: say whether to join as MASTER or WORKER")),
        }
    }

    async fn master(&self, csr: &Csr, token: &Presented) -> Result<services::JoinResponse, Error> {
        let member = fresh_member()?;
        self.registry.take_master(token, member).await?;
        let authority_key = self.entrance.authority.key_pem().to_owned();
        let answer = self.answer(csr, &Subject::Master { member })?;
        Ok(services::JoinResponse { authority_key, member_id: member, ..answer })
    }

    async fn worker(&self, csr: &Csr, token: &Presented, worker: &Worker) -> Result<services::JoinResponse, Error> {
        let ranges = [self.entrance.pod_cidr, self.entrance.service_cidr];
        let uid = self.registry.take_worker(token, worker, ranges).await?;
        self.answer(csr, &Subject::Node { name: worker.name.clone(), uid })
    }

    fn answer(&self, csr: &Csr, subject: &Subject) -> Result<services::JoinResponse, Error> {
        let Entrance { authority, masters, pod_cidr, node_prefix, service_cidr, .. } = &self.entrance;
        Ok(services::JoinResponse {
            certificate_chain: self.issue(csr, subject)?,
            authority: authority.certificate_pem().to_owned(),
            authority_key: String::new(),
            cluster_id: self.registry.status().cluster.to_string(),
            member_id: 0,
            masters: masters.urls(),
            pod_cidr: pod_cidr.to_string(),
            node_prefix: u32::from(*node_prefix),
            service_cidr: service_cidr.to_string(),
        })
    }

    /// A certificate without names: masters give themselves theirs, and nodes have none.
    fn issue(&self, csr: &Csr, subject: &Subject) -> Result<String, Error> {
        self.entrance.authority.issue(csr, subject, &[], self.entrance.leaf_life).map_err(Error::bad_request)
    }
}

fn worker(request: services::JoinRequest, from: IpAddr) -> Result<Worker, Error> {
    check_name(&request.node_name)?;
    let address = match request.address.as_str() {
        "" => None,
        text => {
            Some(text.parse().map_err(|_| Error::bad_request(format!("address: {text:?} is not an IPv4 address")))?)
        }
    };
    Ok(Worker { name: request.node_name, address, from })
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

#[tonic::async_trait]
impl Join for JoinService {
    async fn join(&self, request: Request<services::JoinRequest>) -> Answer<services::JoinResponse> {
        let missing = || to_tonic(&Error::internal("nobody knows where the request comes from"));
        let from = sender::address(request.extensions()).ok_or_else(missing)?;
        let joined = self.let_in(request.into_inner(), from).await.map_err(|error| to_tonic(&error))?;
        Ok(Response::new(joined))
    }

    async fn renew(&self, request: Request<services::RenewRequest>) -> Answer<services::RenewResponse> {
        let registry = self.registry.for_caller(sender::caller(request.extensions()));
        registry.authorise(Access::Renew).await.map_err(|error| to_tonic(&error))?;
        let Caller::Node { name, uid, .. } = registry.caller().clone() else {
            return Err(to_tonic(&Error::internal("only workers have certificates to renew")));
        };
        let csr = Csr::from_der(&request.into_inner().certificate_request).map_err(Error::bad_request);
        let renewed = csr.and_then(|csr| self.issue(&csr, &Subject::Node { name, uid }));
        let certificate_chain = renewed.map_err(|error| to_tonic(&error))?;
        Ok(Response::new(services::RenewResponse { certificate_chain }))
    }
}
