//! The gRPC service through which nodes say that they are alive, and hear of images that came.

use std::pin::Pin;

use api::Error;
use futures::{Stream, stream};
use images::Images;
use registry::{Registry, UNROUTED_MAX};
use rpc::{
    services::{HeartbeatRequest, HeartbeatResponse, nodes_server::Nodes},
    status::to_tonic,
};
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc,
};
use tonic::{Request, Response, Status, Streaming};

use super::join::NODE_NAME_MAX;
use crate::sender;

/// The most answers that wait for a node that does not read them; what further ones would say is said with a later one.
const ANSWERS_WAITING: usize = 4;

/// The longest heartbeat, in bytes: it names as many nodes as are read.
pub(super) const BEAT_BYTES_MAX: usize = 128 << 10;

// The node's own name and those of the nodes to which it has no route, each with a tag and a length of one byte.
const _: () = assert!((1 + UNROUTED_MAX) * (2 + NODE_NAME_MAX) <= BEAT_BYTES_MAX);

/// How many images one answer names.
const IMAGES_MAX: usize = 256;

#[derive(Clone)]
pub(super) struct NodeService {
    pub(super) registry: Registry,
    pub(super) images: Images,
}

#[tonic::async_trait]
impl Nodes for NodeService {
    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<HeartbeatResponse, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let (answers, waiting) = mpsc::channel(ANSWERS_WAITING);
        let visit = Visit {
            registry: self.registry.for_caller(sender::caller(request.extensions())),
            beats: request.into_inner(),
            arrivals: self.images.arrivals(),
            // The node may have missed images while nobody heard it.
            next: HeartbeatResponse { more_images: true, ..HeartbeatResponse::default() },
            answers,
            node: None,
            masters: Vec::new(),
        };
        tokio::spawn(visit.attend());
        let answers = stream::unfold(waiting, |mut waiting| async move { Some((waiting.recv().await?, waiting)) });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// A node that talks to this master.
struct Visit {
    registry: Registry,
    beats: Streaming<HeartbeatRequest>,
    arrivals: broadcast::Receiver<String>,
    /// What the next answer says.
    next: HeartbeatResponse,
    answers: mpsc::Sender<Result<HeartbeatResponse, Status>>,
    /// Its name, once it was heard.
    node: Option<String>,
    /// Which masters it was told of.
    masters: Vec<u64>,
}

impl Visit {
    /// Takes the heartbeats of a node until they end, then looks what became of it.
    async fn attend(mut self) {
        loop {
            tokio::select! {
                beat = self.beats.message() => {
                    let Ok(Some(beat)) = beat else { break };
                    if let Err(error) = self.hear(beat) {
                        // A node that is refused and does not listen needs no answer.
                        let _ = self.answers.send(Err(to_tonic(&error))).await;
                        return;
                    }
                }
                arrival = self.arrivals.recv() => self.note(arrival),
                // The process stops: the node finds the other masters.
                () = self.registry.closing() => return,
            }
        }
        if let Some(node) = self.node {
            self.registry.note_unrouted(&node, Vec::new());
            self.registry.lost(&node).await;
        }
    }

    fn hear(&mut self, beat: HeartbeatRequest) -> Result<(), Error> {
        self.registry.heartbeat(&beat.node)?;
        self.registry.note_unrouted(&beat.node, beat.unrouted);
        self.next.unrouted_by = self.registry.unrouted_by(&beat.node);
        self.node = Some(beat.node);
        self.answer();
        Ok(())
    }

    fn note(&mut self, arrival: Result<String, RecvError>) {
        match arrival {
            Ok(image) if self.next.images.len() < IMAGES_MAX => self.next.images.push(image),
            Ok(_) | Err(_) => self.next.more_images = true,
        }
        // Only a node that was heard is told anything.
        if self.node.is_some() {
            self.answer();
        }
    }

    fn answer(&mut self) {
        let Ok(permit) = self.answers.try_reserve() else { return };
        let mut answer = std::mem::take(&mut self.next);
        let group = self.registry.told_to_nodes();
        if self.masters != group.members {
            self.masters.clone_from(&group.members);
            answer.masters = Some(group);
        }
        permit.send(Ok(answer));
    }
}
