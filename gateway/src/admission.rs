//! Who may connect, and what they may do there: the checks before and after a handshake is accepted.
//!
//! In the order a client meets them: `overload`, `cluster`, `origin` and `upgrade` judge the handshake; `clients` says who it is,
//! by `token`, `api_key` or `hook`; `permission` and `quota` judge what they do. Who is revoked is known to the session store.

pub(crate) mod api_key;
pub(crate) mod clients;
pub(crate) mod cluster;
pub(crate) mod hook;
pub(crate) mod jwks;
pub(crate) mod origin;
pub(crate) mod outgoing;
pub(crate) mod overload;
pub(crate) mod permission;
pub(crate) mod quota;
pub(crate) mod token;
pub(crate) mod upgrade;
