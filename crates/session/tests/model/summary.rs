//! What happened in a run, to see that all of it did.

/// Counts of what a run should not go without.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) connections: u64,
    pub(crate) resumed: u64,
    pub(crate) received: u64,
    pub(crate) recovered: u64,
    pub(crate) not_recovered: u64,
    pub(crate) gaps: u64,
    pub(crate) errors: u64,
    pub(crate) rereads: u64,
    pub(crate) closes: u64,
    pub(crate) edge_faults: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.resumed += other.resumed;
        self.received += other.received;
        self.recovered += other.recovered;
        self.not_recovered += other.not_recovered;
        self.gaps += other.gaps;
        self.errors += other.errors;
        self.rereads += other.rereads;
        self.closes += other.closes;
        self.edge_faults += other.edge_faults;
    }

    pub(crate) fn assert_everything_happened(&self) {
        let Self { connections, resumed, received, recovered, not_recovered, .. } = self;
        let Self { gaps, errors, rereads, closes, edge_faults, .. } = self;
        for count in [connections, resumed, received, recovered, not_recovered] {
            assert!(*count > 20, "{self:?}");
        }
        for count in [gaps, errors, rereads, closes, edge_faults] {
            assert!(*count > 20, "{self:?}");
        }
    }
}
