//! Ranges of IPv4 addresses.

use std::{fmt, net::Ipv4Addr, str::FromStr};

/// A range of IPv4 addresses that share their leading bits, such as `127.128.0.0/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    base: Ipv4Addr,
    prefix: u8,
}

/// A text or pair that is not a range. Says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCidr(String);

impl Cidr {
    /// The range of all addresses that share the first `prefix` bits of `base`.
    ///
    /// # Errors
    /// If the prefix is above 32, or `base` is not the first address of the range.
    pub fn new(base: Ipv4Addr, prefix: u8) -> Result<Self, BadCidr> {
        if prefix > 32 {
            return Err(BadCidr(format!("/{prefix} is not a prefix length; use /0 to /32")));
        }
        let range = Self { base, prefix };
        if u64::from(base.to_bits()) & (range.size() - 1) != 0 {
            return Err(BadCidr(format!("{base} is not the first address of a /{prefix}")));
        }
        Ok(range)
    }

    /// The first address.
    #[must_use]
    pub fn base(self) -> Ipv4Addr {
        self.base
    }

    /// How many leading bits all addresses share.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// How many addresses there are.
    #[must_use]
    pub fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }

    /// Whether an address is in the range.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u64::from(address.to_bits()) & !(self.size() - 1) == u64::from(self.base.to_bits())
    }

    /// The address at an offset from the first; wraps around at the end.
    #[must_use]
    pub fn address(self, offset: u64) -> Ipv4Addr {
        let offset = u32::try_from(offset % self.size()).unwrap_or_default();
        Ipv4Addr::from_bits(self.base.to_bits() | offset)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let parts = text.split_once('/').and_then(|(base, prefix)| Some((base.parse().ok()?, prefix.parse().ok()?)));
        let (base, prefix) = parts.ok_or_else(|| BadCidr(format!("{text:?} is not ADDRESS/PREFIX")))?;
        Self::new(base, prefix)
    }
}
