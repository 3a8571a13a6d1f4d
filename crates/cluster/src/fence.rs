//! The number that tells a session's owner of today from its owner of yesterday.

/// Orders the owners of a session: the first has 1, and whoever takes over has a higher one than all before. A store that
/// may be set back gives no lower one than the time in microseconds, so that this also holds for those it has forgotten.
///
/// A node shows its fence with everything it writes. A lower one than the store has seen is refused by the store itself,
/// so a node that was frozen while its session moved on can do no harm when it wakes up.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fence(u64);

impl Fence {
    /// The owner that made the session.
    pub const FIRST: Self = Self(1);

    /// From a number that came over a wire.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The fence of whoever takes over.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
