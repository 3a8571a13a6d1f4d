//! Everything between the kernel's accept queue and the bytes of a handshake.
//!
//! Place in the data path: [`listener`] accepts, [`address_limits`] decides whether this address may have one more,
//! [`proxy_protocol`] finds the client behind a load balancer, [`tls`] decrypts, and [`transport`] is the socket a
//! worker reads and writes from then on.

pub(crate) mod address_limits;
pub(crate) mod listener;
pub(crate) mod proxy_protocol;
pub(crate) mod tls;
pub(crate) mod transport;
