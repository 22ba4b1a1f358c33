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

    /// The range of all addresses that share the first `prefix` bits of one of them.
    ///
    /// # Errors
    /// If the prefix is above 32.
    pub fn around(address: Ipv4Addr, prefix: u8) -> Result<Self, BadCidr> {
        let kept = u32::MAX.checked_shl(u32::from(32_u8.saturating_sub(prefix))).unwrap_or(0);
        Self::new(Ipv4Addr::from_bits(address.to_bits() & kept), prefix)
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

    /// Whether all addresses of another range are in this one.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// Whether two ranges share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.base) || other.contains(self.base)
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::Cidr;

    #[test]
    fn ranges_overlap_if_one_holds_the_beginning_of_the_other() {
        let range = |text: &str| text.parse::<Cidr>().unwrap();
        for (one, other, overlap) in [
            ("10.0.0.0/8", "10.244.0.0/16", true),
            ("10.244.0.0/16", "10.244.0.0/24", true),
            ("10.96.0.0/12", "10.112.0.0/12", false),
            ("0.0.0.0/0", "127.0.0.1/32", true),
            ("10.0.0.0/32", "10.0.0.1/32", false),
        ] {
            assert_eq!(
                (range(one).overlaps(range(other)), range(other).overlaps(range(one))),
                (overlap, overlap),
                "{one} {other}"
            );
        }
    }

    #[test]
    fn a_range_covers_its_parts_and_itself() {
        let range = |text: &str| text.parse::<Cidr>().unwrap();
        let pods = range("10.244.0.0/16");
        assert!(pods.covers(pods) && pods.covers(range("10.244.7.0/24")));
        for other in ["10.245.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "0.0.0.0/1"] {
            assert!(!pods.covers(range(other)), "{other}");
        }
    }

    #[test]
    fn a_range_is_around_each_of_its_addresses() {
        for (address, prefix, range) in
            [("10.1.2.3", 24, "10.1.2.0/24"), ("10.1.2.3", 32, "10.1.2.3/32"), ("10.1.2.3", 0, "0.0.0.0/0")]
        {
            assert_eq!(Cidr::around(address.parse().unwrap(), prefix).unwrap().to_string(), range);
        }
        assert!(Cidr::around([10, 0, 0, 1].into(), 33).is_err());
    }
}
