//! Who may connect, and what they may do there: the checks before and after a handshake is accepted.
//!
//! In the order a client meets them: `overload`, `origin` and `upgrade` judge the handshake; `token`, `api_key` and
//! `hook` say who it is, `revocation` whether they are still welcome; `permission` and `quota` judge what they do.

#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod api_key;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod hook;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod jwks;
pub(crate) mod origin;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod outgoing;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod overload;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod permission;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod quota;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod revocation;
#[cfg_attr(not(test), expect(dead_code, reason = "wired with the native dialect"))]
pub(crate) mod token;
pub(crate) mod upgrade;
