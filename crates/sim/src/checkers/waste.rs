//! Block bytes that were received for nothing.

/// Block bytes a host received, and those among them that it had already or never asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waste {
    /// In all.
    pub received: u64,
    /// Of no use.
    pub useless: u64,
}

impl Waste {
    /// The useless share, in thousandths.
    pub fn per_mille(self) -> u64 {
        self.useless * 1000 / self.received.max(1)
    }
}
