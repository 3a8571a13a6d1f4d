//! Who may connect: checks a handshake passes after it parsed and before it is accepted.

pub(crate) mod origin;
pub(crate) mod upgrade;
