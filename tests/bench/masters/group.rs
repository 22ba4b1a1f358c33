//! A group of servers, Kapelle's masters or etcd's members, on loopback and on one disk.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use api::{
    Key, Kind,
    authentication_v1::TokenRequestSpec,
    identity_v1::{User, UserSpec},
    kinds::Resource as _,
};
use rpc::{
    Security,
    identity::{Authority, Shared, Subject},
};

use crate::{
    door::Door,
    etcd,
    identity::{Files, issue},
    members::{self, LOOK_EVERY, Members, PATIENCE},
    server::Server,
};

/// Who is measured.
#[derive(Clone, Debug)]
pub(crate) enum Brand {
    Kapelle,
    /// The binary of an earlier build.
    Earlier(PathBuf),
    /// The binary.
    Etcd(PathBuf),
}

impl Brand {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Kapelle => "kapelle".to_owned(),
            Self::Earlier(_) => "before".to_owned(),
            Self::Etcd(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

/// Which members clients call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The one that leads.
    Leader,
    /// Each connection another one.
    Spread,
    /// All of them, in turn until one answers.
    Any,
}

/// Running servers. Dropping the group kills them and removes what they stored.
pub(crate) struct Group {
    pub(crate) brand: Brand,
    pub(crate) members: Vec<Server>,
    urls: Vec<String>,
    identity: Arc<Shared>,
    _dir: tempfile::TempDir,
}

impl Group {
    /// Starts so many members and waits until they answer. Everything is stored below the build's directory, since
    /// temporary directories are often in memory.
    pub(crate) async fn start(brand: Brand, members: usize) -> Result<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let mut group = match &brand {
            Brand::Kapelle => kapelle(&brand, Path::new(members::KAPELLE), dir, members)?,
            Brand::Earlier(program) => kapelle(&brand, program, dir, members)?,
            Brand::Etcd(program) => etcd(dir, program, members)?,
        };
        for door in group.doors(members, Reach::Spread).await? {
            group.until_answered(&door).await?;
        }
        Ok(group)
    }

    pub(crate) fn name(&self) -> String {
        self.brand.name()
    }

    /// Asks until a linearizable read is answered.
    pub(crate) async fn until_answered(&mut self, door: &Door) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while let Err(error) = door.get(0).await {
            self.members.iter_mut().try_for_each(Server::lives)?;
            if Instant::now() > until {
                return Err(error.context(format!("{} does not answer", self.name())));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Where the members answer.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// So many connections of an administrator.
    pub(crate) async fn doors(&self, count: usize, reach: Reach) -> Result<Vec<Door>> {
        self.doors_of(&Security::Tls(self.identity.clone()), count, reach).await
    }

    /// So many connections of somebody.
    pub(crate) async fn doors_of(&self, who: &Security, count: usize, reach: Reach) -> Result<Vec<Door>> {
        let leader = match reach {
            Reach::Leader => self.leader().await?,
            Reach::Spread | Reach::Any => 0,
        };
        let urls = |number: usize| match reach {
            Reach::Leader => vec![self.urls[leader].clone()],
            Reach::Spread => vec![self.urls[number % self.urls.len()].clone()],
            Reach::Any => self.urls.clone(),
        };
        (0..count).map(|number| self.door(who, &urls(number))).collect()
    }

    /// A new user of Kapelle's masters, by its token.
    pub(crate) async fn user(&self, name: &str, groups: &[&str]) -> Result<Security> {
        let Some(Door::Kapelle(client)) = self.doors(1, Reach::Leader).await?.pop() else { bail!("etcd has no users") };
        let spec = UserSpec { groups: groups.iter().map(|group| (*group).to_owned()).collect(), ..UserSpec::default() };
        let mut user = User { spec: Some(spec), ..User::default() };
        name.clone_into(&mut user.metadata_mut().name);
        client.create(user.into()).await?;
        let token = client.request_token(&Key::cluster(Kind::User, name), TokenRequestSpec::default()).await?.token;
        Ok(Security::bearer(&self.identity.with(|identity| identity.authority_pem().to_owned()), &token)?)
    }

    fn door(&self, who: &Security, urls: &[String]) -> Result<Door> {
        Ok(match &self.brand {
            Brand::Kapelle | Brand::Earlier(_) => Door::Kapelle(rpc::Client::connect_with(urls, who.clone())?),
            Brand::Etcd(_) => Door::Etcd(etcd::Client::connect(urls, &self.identity)?),
        })
    }

    /// Which member leads.
    pub(crate) async fn leader(&self) -> Result<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            for (index, url) in self.urls.iter().enumerate() {
                let door = self.door(&Security::Tls(self.identity.clone()), std::slice::from_ref(url))?;
                if matches!(tokio::time::timeout(Duration::from_secs(1), door.leads()).await, Ok(Ok(true))) {
                    return Ok(index);
                }
            }
            if Instant::now() > until {
                bail!("{}: nobody leads", self.name());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Processor time of all members.
    pub(crate) fn cpu(&self) -> Duration {
        self.members.iter().map(Server::cpu).sum()
    }
}

/// Everybody is called as an administrator.
fn kapelle(brand: &Brand, program: &Path, dir: tempfile::TempDir, count: usize) -> Result<Group> {
    let Members { servers, urls } = members::kapelle(program, dir.path(), count)?;
    let identity = members::administrator(dir.path())?;
    Ok(Group { brand: brand.clone(), members: servers, urls, identity: Shared::new(identity)?, _dir: dir })
}

/// Clients show the same kind of certificate as the members, which is the kind that masters have.
fn etcd(dir: tempfile::TempDir, program: &Path, count: usize) -> Result<Group> {
    let authority = Authority::found("etcd")?;
    let identity = issue(&authority, &Subject::Master { member: 1 }, &["127.0.0.1".to_owned()])?;
    let files = Files::write(dir.path(), &identity)?;
    let Members { servers, urls } = members::etcd(dir.path(), program, count, &files)?;
    let brand = Brand::Etcd(program.to_owned());
    Ok(Group { brand, members: servers, urls, identity: Shared::new(identity)?, _dir: dir })
}
