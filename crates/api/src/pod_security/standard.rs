//! What a Namespace demands: levels, versions, and the labels that name them.

use std::{collections::BTreeMap, fmt};

use crate::{
    Kind,
    error::Cause,
    validate::{Causes, Path},
};

/// How all labels of Pod Security begin.
pub const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";
const AUDIT: &str = "pod-security.kubernetes.io/audit";
const AUDIT_VERSION: &str = "pod-security.kubernetes.io/audit-version";
const WARN: &str = "pod-security.kubernetes.io/warn";
const WARN_VERSION: &str = "pod-security.kubernetes.io/warn-version";

/// How much is demanded, from nothing to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    #[default]
    Privileged,
    /// No known way out of a container.
    Baseline,
    /// What hardened Pods have.
    Restricted,
}

impl Level {
    const ALL: [Self; 3] = [Self::Privileged, Self::Baseline, Self::Restricted];

    fn word(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        let found = Self::ALL.into_iter().find(|level| level.word() == text);
        found.ok_or("must be one of privileged, baseline, restricted")
    }
}

/// Of which minor version of Kubernetes the checks are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Of the newest that is known.
    #[default]
    Latest,
    /// Of `v1.` and this.
    Minor(u64),
}

impl Version {
    fn read(text: &str) -> Result<Self, &'static str> {
        let wrong = "must be \"latest\" or \"v1.x\"";
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let digits = text.strip_prefix("v1.").ok_or(wrong)?;
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        // Kubernetes reads a signed number.
        let minor = digits.parse().ok().filter(|minor| i64::try_from(*minor).is_ok() && is_plain);
        minor.map(Self::Minor).ok_or(wrong)
    }

    /// Whether something that began with a minor version is part of this one.
    pub(super) fn has(self, since: u64) -> bool {
        match self {
            Self::Latest => true,
            Self::Minor(minor) => since <= minor,
        }
    }
}

/// A level as some version knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standard {
    /// How much is demanded.
    pub level: Level,
    /// By whose checks.
    pub version: Version,
}

impl Standard {
    /// Whether nothing is demanded.
    #[must_use]
    pub fn is_privileged(self) -> bool {
        self.level == Level::Privileged
    }

    /// Whether this may refuse what `old` did not, so that it is worth looking at what there is.
    #[must_use]
    pub fn may_tighten(self, old: Self) -> bool {
        self != old && !self.is_privileged() && (self.version != old.version || self.level > old.level)
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level.word();
        match self.version {
            Version::Latest => write!(f, "{level}:latest"),
            Version::Minor(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// All that a Namespace demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What Pods must meet.
    pub enforce: Standard,
    /// What is written to the log of audits if it is not met.
    pub audit: Standard,
    /// What whoever writes is warned of if it is not met.
    pub warn: Standard,
}

impl Policy {
    /// What labels demand, and what is wrong with them. A value of `enforce` that nobody understands demands most; of `audit`
    /// and `warn`, nothing.
    #[must_use]
    pub fn of(labels: &BTreeMap<String, String>) -> (Self, Vec<Cause>) {
        let mut reader = Reader { labels, causes: Causes::of(Kind::Namespace) };
        let enforce = reader.level(ENFORCE);
        let enforced = Standard { level: filled(enforce, Level::Restricted), version: reader.version(ENFORCE_VERSION) };
        let audit =
            Standard { level: filled(reader.level(AUDIT), Level::Privileged), version: reader.version(AUDIT_VERSION) };
        let level = reader.level(WARN);
        let mut warn = Standard { level: filled(level, Level::Privileged), version: reader.version(WARN_VERSION) };
        if let (None, Some(Ok(enforce))) = (level, enforce)
            && enforce > warn.level
        {
            let version = if labels.contains_key(WARN_VERSION) { warn.version } else { enforced.version };
            warn = Standard { level: enforce, version };
        }
        (Self { enforce: enforced, audit, warn }, reader.causes.told())
    }

    /// Whether nothing is demanded of anybody.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].into_iter().all(Standard::is_privileged)
    }
}

/// A level that a label names, if there is the label, or `wrong` if nobody understands it.
fn filled(level: Option<Result<Level, ()>>, wrong: Level) -> Level {
    level.map_or(Level::Privileged, |level| level.unwrap_or(wrong))
}

/// Reads labels, and keeps what is wrong with them.
struct Reader<'a> {
    labels: &'a BTreeMap<String, String>,
    causes: Causes,
}

impl Reader<'_> {
    fn level(&mut self, label: &str) -> Option<Result<Level, ()>> {
        let text = self.labels.get(label)?;
        Some(Level::read(text).map_err(|why| self.wrong(label, text, why)))
    }

    fn version(&mut self, label: &str) -> Version {
        let Some(text) = self.labels.get(label) else { return Version::Latest };
        Version::read(text).unwrap_or_else(|why| {
            self.wrong(label, text, why);
            Version::Latest
        })
    }

    fn wrong(&mut self, label: &str, text: &str, why: &str) {
        let at = Path::Root.field("metadata");
        self.causes.invalid(&at.field("labels").key(label), text, why);
    }
}
