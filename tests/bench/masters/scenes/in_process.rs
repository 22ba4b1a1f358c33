//! Durable writes without the API: what `consensus` and `store` take from waiters in the same process, beside etcd's puts.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Result;
use consensus::{Begin, BoxFuture, Change, Config, Consensus, Dial, MemberId, Role, Stream};
use store::{Applied, Expect, Op, Refusal, Txn};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    door::{VALUE_BYTES, key},
    load::{self, Outcome},
    scenes::puts,
    server::cpu_of,
    settings::Settings,
    table,
};

/// So many wait at the same time.
const WAITERS: [usize; 2] = [1, 256];

/// How long to wait before members that are not ready are asked again.
const PAUSE: Duration = Duration::from_millis(20);

type Member = Consensus<Result<Applied, Refusal>>;

pub(crate) async fn play(settings: &Settings) -> Result<()> {
    for members in [1, 3] {
        println!("  {members} {}", if members == 1 { "member" } else { "members" });
        let rivals = settings.rivals(members).await?;
        for rival in &rivals {
            puts::prepare(rival).await?;
        }
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let group = open(dir.path(), members).await?;
        for waiters in WAITERS {
            let mut outcomes = vec![Vec::new(); 1 + rivals.len()];
            for _ in 0..settings.rounds {
                outcomes[0].push(measure(&group[0], waiters, settings).await);
                for (rival, outcomes) in rivals.iter().zip(&mut outcomes[1..]) {
                    outcomes.push(puts::measure(rival, waiters, settings).await?);
                }
            }
            let names = [String::from("in process")].into_iter().chain(rivals.iter().map(|rival| rival.name()));
            let middle = names.zip(&outcomes).map(|(name, of)| (name, Outcome::middle(of)));
            table::outcomes(&format!("{waiters} waiters"), &middle.collect::<Vec<_>>());
        }
        for member in &group {
            member.shutdown().await;
        }
    }
    Ok(())
}

/// The processor time is that of this whole process, waiters included.
async fn measure(leader: &Member, waiters: usize, settings: &Settings) -> Outcome {
    let cpu = || cpu_of(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default());
    let leader = leader.clone();
    let bytes = bytes::Bytes::from(vec![b'x'; VALUE_BYTES]);
    load::run(waiters, settings.each, cpu, move |client, _| {
        let (leader, bytes) = (leader.clone(), bytes.clone());
        async move {
            let put = Op::Put { key: key(client as u64), bytes, expect: Expect::Any };
            leader.propose(Txn { ops: vec![put] }.encode()).await?.map(drop)?;
            Ok(())
        }
    })
    .await
}

/// A group of so many members, led by the first, connected through loopback.
async fn open(dir: &std::path::Path, count: usize) -> Result<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    for number in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let contact = listener.local_addr()?.to_string();
        let begin = match members.first() {
            None => Begin::Found,
            Some(first) => {
                Begin::Join { cluster: first.status().borrow().cluster, member: MemberId(1000 + number as u64) }
            }
        };
        let line = Arc::new(Line(OnceLock::new()));
        let config = Config {
            begin,
            contact: contact.clone(),
            dial: Some(line.clone()),
            ..Config::new(dir.join(number.to_string()))
        };
        let member = consensus::open(config, store::new().0)?;
        let own = member.status().borrow().member;
        let _ = line.0.set(own);
        tokio::spawn(answer(listener, member.clone()));
        if let Some(first) = members.first() {
            change(first, Change::AddLearner { member: own, contact }).await;
            change(first, Change::Promote(own)).await;
        } else {
            let mut status = member.status();
            status.wait_for(|status| status.role == Role::Leader).await?;
        }
        members.push(member);
    }
    Ok(members)
}

/// Asks until the group is ready for the change.
async fn change(leader: &Member, change: Change) {
    while leader.change(change.clone()).await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whoever connects says first who it is; nobody else is on this loopback.
async fn answer(listener: TcpListener, member: Member) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let from = stream.read_u64().await?;
        member.accept(MemberId(from), Box::new(stream));
    }
}

/// A member's way to the others.
struct Line(OnceLock<MemberId>);

impl Dial for Line {
    fn dial(&self, _: MemberId, contact: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (own, contact) = (self.0.get().copied(), contact.to_owned());
        Box::pin(async move {
            let mut stream = TcpStream::connect(contact).await?;
            stream.set_nodelay(true)?;
            stream.write_u64(own.ok_or(io::ErrorKind::NotConnected)?.0).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
