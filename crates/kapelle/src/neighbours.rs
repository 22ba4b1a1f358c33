//! Other clusters of `kapelle dev` in this network: two of them must not give the same addresses to different Pods.
//!
//! Each holds an abstract Unix socket whose name says which ranges it uses. Such names belong to a network namespace, as
//! loopback addresses do, and go with the process that holds them; the kernel lists them.

use std::{
    fs,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    process,
};

use anyhow::{Context as _, Result, bail};
use api::Cidr;

/// What all names begin with.
const NAME: &str = "kapelle-dev";

/// Where the kernel lists the sockets of this network.
const LIST: &str = "/proc/net/unix";

/// Ranges that are this process's as long as it lives.
#[derive(Debug)]
pub(crate) struct Claim {
    _socket: UnixDatagram,
}

/// Claims the ranges for this process.
///
/// # Errors
/// If another cluster uses some of their addresses.
pub(crate) fn claim(ranges: &[Cidr]) -> Result<Claim> {
    let own = name(process::id(), ranges);
    let address = SocketAddr::from_abstract_name(own.as_bytes())?;
    // First claim, then look: of two that start at the same moment, at least one sees the other.
    let socket = UnixDatagram::bind_addr(&address).context("cannot claim the ranges of addresses")?;
    // A kernel that hides the list leaves nothing to compare with, and is no reason not to run.
    let list = fs::read_to_string(LIST).unwrap_or_default();
    if let Some((other, range)) = conflict(&list, &own, ranges) {
        bail!(
            "another `kapelle dev` (process {other}) uses addresses of {range}; stop it, or give this one a network of its own: \
             --listen 127.0.0.1:6444 --pod-cidr 127.192.0.0/11 --service-cidr 127.224.0.0/12"
        );
    }
    Ok(Claim { _socket: socket })
}

fn name(process: u32, ranges: &[Cidr]) -> String {
    let ranges: Vec<String> = ranges.iter().map(Cidr::to_string).collect();
    format!("{NAME},{process},{}", ranges.join(","))
}

/// The process of another cluster, and the range of ours of which it uses addresses.
fn conflict(list: &str, own: &str, ranges: &[Cidr]) -> Option<(u32, Cidr)> {
    let names = list.lines().filter_map(|line| line.split_whitespace().last()?.strip_prefix('@'));
    names.filter(|name| *name != own).find_map(|name| {
        let mut words = name.split(',');
        words.next().filter(|word| *word == NAME)?;
        let process = words.next()?.parse().ok()?;
        let theirs: Vec<Cidr> = words.filter_map(|word| word.parse().ok()).collect();
        let taken = |range: &&Cidr| theirs.iter().any(|theirs| theirs.overlaps(**range));
        ranges.iter().find(taken).map(|range| (process, *range))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{claim, conflict, name};

    #[test]
    fn another_cluster_is_known_by_the_addresses_that_it_uses() {
        let own = name(1, &["127.64.0.0/10".parse().unwrap(), "127.128.0.0/12".parse().unwrap()]);
        let list = format!(
            "Num       RefCount Protocol Flags    Type St Inode Path\n\
             0000000000000000: 00000002 00000000 00000000 0002 01 1234 @{own}\n\
             0000000000000000: 00000002 00000000 00000000 0002 01 1235 @kapelle-dev,7,127.200.0.0/16,127.130.0.0/16\n\
             0000000000000000: 00000002 00000000 00000000 0002 01 1236\n\
             0000000000000000: 00000002 00000000 00000000 0002 01 1237 /run/other,9,127.64.0.0/10\n"
        );
        let found = |ranges: &[&str]| {
            let ranges: Vec<_> = ranges.iter().map(|range| range.parse().unwrap()).collect();
            conflict(&list, &own, &ranges).map(|(process, range)| (process, range.to_string()))
        };
        assert_eq!(found(&["127.64.0.0/10", "127.128.0.0/12"]), Some((7, "127.128.0.0/12".into())));
        assert_eq!(found(&["127.200.1.0/24"]), Some((7, "127.200.1.0/24".into())));
        assert_eq!(found(&["127.64.0.0/10", "127.144.0.0/12"]), None);
    }

    #[test]
    fn a_claim_ends_with_its_holder() {
        // Addresses that no other test uses.
        let range = ["127.255.7.0/24".parse().unwrap()];
        let held = claim(&range).unwrap();
        assert!(format!("{:#}", claim(&range).unwrap_err()).contains("cannot claim"), "its own name is taken");
        drop(held);
        claim(&range).unwrap();
    }
}
