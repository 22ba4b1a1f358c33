//! The addresses of this node's Pods, out of the range that the cluster gave it.

use std::{
    collections::HashSet,
    fmt,
    net::{AddrParseError, Ipv4Addr},
    num::ParseIntError,
};

/// The first and the last address of a range are never a Pod's.
pub(crate) const RESERVED: u32 = 2;

/// Hands out addresses and takes them back.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// The first address and how many there are; none before the cluster has given a range.
    range: Option<(u32, u32)>,
    used: HashSet<Ipv4Addr>,
    next: u32,
}

/// A range that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRange {
    #[error("not ADDRESS/PREFIX")]
    Form,
    #[error("not an address")]
    Address(#[from] AddrParseError),
    #[error("not a prefix length")]
    Prefix(#[from] ParseIntError),
}

impl Addresses {
    /// Sets the range, such as `127.64.0.0/18`. Addresses that are in use stay in use.
    pub(crate) fn set_range(&mut self, cidr: &str) -> Result<(), BadRange> {
        let (base, prefix) = cidr.split_once('/').ok_or(BadRange::Form)?;
        let (base, prefix): (Ipv4Addr, u32) = (base.parse()?, prefix.parse()?);
        let size = 1_u32.checked_shl(32_u32.checked_sub(prefix).ok_or(BadRange::Form)?).unwrap_or(u32::MAX);
        self.range = Some((base.to_bits(), size));
        Ok(())
    }

    /// Whether there is a range.
    pub(crate) fn ready(&self) -> bool {
        self.range.is_some()
    }

    /// An address that nobody has. Addresses come back late, so that a client that remembers one does not meet another Pod.
    pub(crate) fn take(&mut self) -> Option<Ipv4Addr> {
        let (base, size) = self.range?;
        let hosts = size.checked_sub(RESERVED).filter(|hosts| *hosts > 0)?;
        for _ in 0..hosts {
            let address = Ipv4Addr::from_bits(base + 1 + self.next % hosts);
            self.next = (self.next + 1) % hosts;
            if self.used.insert(address) {
                return Some(address);
            }
        }
        None
    }

    /// Marks an address that a Pod already has.
    pub(crate) fn keep(&mut self, address: Ipv4Addr) -> bool {
        self.used.insert(address)
    }

    /// Takes an address back.
    pub(crate) fn give_back(&mut self, address: Ipv4Addr) {
        self.used.remove(&address);
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((base, size)) = self.range else { return f.write_str("the node has no range yet") };
        let prefix = size.leading_zeros() + 1;
        let used = self.used.len();
        write!(f, "all {used} of the node's range {}/{prefix} are in use", Ipv4Addr::from_bits(base))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::Addresses;

    #[test]
    fn every_address_is_given_once_and_comes_back_late() {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.take(), None);
        addresses.set_range("127.64.0.0/29").unwrap();
        assert!(addresses.keep("127.64.0.2".parse().unwrap()));
        let first = addresses.take().unwrap();
        assert_eq!(first.to_string(), "127.64.0.1");
        addresses.give_back(first);
        let rest: Vec<String> = std::iter::from_fn(|| addresses.take()).map(|address| address.to_string()).collect();
        assert_eq!(rest, ["127.64.0.3", "127.64.0.4", "127.64.0.5", "127.64.0.6", "127.64.0.1"]);
    }

    #[test]
    fn a_range_that_makes_no_sense_is_refused() {
        for wrong in ["", "127.0.0.1", "127.0.0.1/x", "x/8", "127.0.0.0/40"] {
            assert!(Addresses::default().set_range(wrong).is_err(), "{wrong}");
        }
    }
}
