//! What is known of an image beside its code: what it does, through which entry point, against which interfaces.

/// What an image does, read off its exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Runs from start to end: a WASI p1 module with `_start`, or a component with `wasi:cli/run`.
    Command,
    /// Answers requests: a component with `wasi:http/incoming-handler` (p2) or `wasi:http/handler` (p3).
    /// Wins over `wasi:cli/run` where a component exports both.
    Http,
}

/// Which set of interfaces an image is linked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// WASI p1 and p2.
    Lean,
    /// WASI p2 and p3.
    P3,
}

/// What a compiled file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) level: Level,
    pub(crate) program: ProgramKind,
}

/// What runs: decides engine and entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramKind {
    /// A core module with `_start`.
    Core,
    /// A component with `wasi:cli/run` of p2.
    RunP2,
    /// A component with `wasi:cli/run` of p3.
    RunP3,
    /// A component with `wasi:http/incoming-handler`.
    HttpP2,
    /// A component with `wasi:http/handler`.
    HttpP3,
}

impl ProgramKind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Core, "core"),
        (Self::RunP2, "run-p2"),
        (Self::RunP3, "run-p3"),
        (Self::HttpP2, "http-p2"),
        (Self::HttpP3, "http-p3"),
    ];

    pub(crate) fn shape(self) -> Shape {
        match self {
            Self::Core | Self::RunP2 | Self::RunP3 => Shape::Command,
            Self::HttpP2 | Self::HttpP3 => Shape::Http,
        }
    }
}

impl Meta {
    /// The level and the program, as they are written down.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        let level = match self.level {
            Level::Lean => "lean",
            Level::P3 => "p3",
        };
        let program = ProgramKind::ALL.iter().find(|(kind, _)| *kind == self.program).map_or("", |(_, name)| name);
        (level, program)
    }

    pub(crate) fn from_words(level: &str, program: &str) -> Option<Self> {
        let level = match level {
            "lean" => Level::Lean,
            "p3" => Level::P3,
            _ => return None,
        };
        let program = ProgramKind::ALL.iter().find(|(_, known)| *known == program)?.0;
        Some(Self { level, program })
    }
}

#[cfg(test)]
mod tests {
    use super::{Level, Meta, ProgramKind};

    #[test]
    fn what_is_written_down_is_read_again() {
        for level in [Level::Lean, Level::P3] {
            for (program, _) in ProgramKind::ALL {
                let meta = Meta { level, program };
                let (level, program) = meta.words();
                assert_eq!(Meta::from_words(level, program), Some(meta), "{level} {program}");
            }
        }
        assert_eq!(Meta::from_words("lean", "other"), None);
        assert_eq!(Meta::from_words("other", "core"), None);
    }
}
