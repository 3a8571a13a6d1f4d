//! Everything between the kernel's accept queue and the bytes of a handshake.
//!
//! Place in the data path: [`listener`] accepts, [`address_limits`] decides whether this address may have one more,
//! [`proxy_protocol`] finds the client behind a load balancer, [`tls`] decrypts, and [`transport`] is the socket a
//! worker reads and writes from then on.

pub mod address_limits;
pub mod listener;
pub mod proxy_protocol;
pub mod tls;
pub mod transport;
