//! What programs with an HTTP API of their own share: the port it is served on, and the page that describes it.

mod page;
mod server;

pub use self::page::DocsPage;
pub use self::server::{ApiServer, Transport};
