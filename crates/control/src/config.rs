//! What a cluster may want otherwise.

use std::net::Ipv4Addr;

use api::Cidr;

/// What a cluster may want otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where Pods get their addresses; each node is given a part of it.
    pub pods: PodRange,
    /// The certificate of the cluster's authority, in PEM: every namespace has it as a ConfigMap.
    pub authority: String,
    /// The address that is meant for the Service `kubernetes`: the first of the Services' range.
    pub kubernetes: Ipv4Addr,
}

/// A range of IPv4 addresses that is cut into equal parts, one a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodRange {
    base: Ipv4Addr,
    prefix: u8,
    node_prefix: u8,
}

/// A range that cannot be cut so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{base}/{prefix} cannot be cut into parts of /{node_prefix}: use prefixes with range <= part <= 30")]
pub struct InvalidRange {
    base: Ipv4Addr,
    prefix: u8,
    node_prefix: u8,
}

/// The longest prefix of a node's part: below it no address would be left for Pods.
const NODE_PREFIX_MAX: u8 = 30;

impl PodRange {
    /// The range of `kapelle dev`: 127.64.0.0/10 in parts of /18, so that nothing needs root: 256 nodes of 16,384 addresses.
    pub const LOOPBACK: Self = Self { base: Ipv4Addr::new(127, 64, 0, 0), prefix: 10, node_prefix: 18 };

    /// The range `base/prefix`, in parts of `node_prefix`. Bits of `base` beyond the prefix are cleared.
    ///
    /// # Errors
    /// If the parts are larger than the range or too small to hold Pods.
    pub fn new(base: Ipv4Addr, prefix: u8, node_prefix: u8) -> Result<Self, InvalidRange> {
        if prefix > node_prefix || node_prefix > NODE_PREFIX_MAX {
            return Err(InvalidRange { base, prefix, node_prefix });
        }
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Ok(Self { base: Ipv4Addr::from_bits(base.to_bits() & mask), prefix, node_prefix })
    }

    /// The parts, in order.
    pub(crate) fn parts(self) -> impl Iterator<Item = Cidr> {
        let Self { base, prefix, node_prefix } = self;
        let count = 1_u64 << (node_prefix - prefix);
        let start = u64::from(base.to_bits());
        let part = move |n: u64| u32::try_from(start + (n << (32 - node_prefix))).ok().map(Ipv4Addr::from_bits);
        (0..count).map_while(part).filter_map(move |address| Cidr::new(address, node_prefix).ok())
    }
}

impl Default for Config {
    /// That of `kapelle dev`, without an authority: each cluster founds its own.
    fn default() -> Self {
        Self { pods: PodRange::LOOPBACK, authority: String::new(), kubernetes: Ipv4Addr::new(127, 128, 0, 1) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use super::PodRange;

    #[test]
    fn the_loopback_range_holds_256_nodes() {
        let parts: Vec<String> = PodRange::LOOPBACK.parts().map(|part| part.to_string()).collect();
        assert_eq!(parts.len(), 256);
        assert_eq!((parts[0].as_str(), parts[255].as_str()), ("127.64.0.0/18", "127.127.192.0/18"));
    }

    #[test]
    fn a_range_must_be_larger_than_its_parts() {
        let base = Ipv4Addr::new(10, 1, 2, 3);
        assert_eq!(PodRange::new(base, 24, 25).unwrap().parts().next().unwrap().to_string(), "10.1.2.0/25");
        assert!(PodRange::new(base, 24, 16).unwrap_err().to_string().contains("cannot be cut"));
        assert!(PodRange::new(base, 24, 31).is_err());
    }
}
