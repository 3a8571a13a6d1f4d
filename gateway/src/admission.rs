//! Who may connect, and what they may do there: the checks before and after a handshake is accepted.
//!
//! In the order a client meets them: `overload`, `origin` and `upgrade` judge the handshake; `token`, `api_key` and
//! `hook` say who it is, `revocation` whether they are still welcome; `permission` and `quota` judge what they do.

pub(crate) mod api_key;
pub(crate) mod clients;
pub(crate) mod hook;
pub(crate) mod jwks;
pub(crate) mod origin;
pub(crate) mod outgoing;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod overload;
pub(crate) mod permission;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod quota;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod revocation;
pub(crate) mod token;
pub(crate) mod upgrade;
