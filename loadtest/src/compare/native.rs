//! The gateway as the rows about sessions need it: a key that tokens are checked with, and quotas that are checked and never used up.

use std::io::Write;
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::server::Launch;
use crate::failure::Failure;
use crate::native::{Credentials, Dialect, Native};

/// A configuration file of the gateway, there as long as this is, and who may connect to it.
#[derive(Debug)]
pub(super) struct NativeGateway {
    config: NamedTempFile,
    credentials: Arc<Credentials>,
}

const SECRET: &str = "known to everybody, and only for measuring";
/// A channel without history, which every user may use.
const CHANNEL: &str = "bench:room";

impl NativeGateway {
    pub(super) fn new() -> Result<Self, Failure> {
        let failed = "writing the gateway's configuration";
        let mut config = NamedTempFile::with_suffix(".toml").map_err(Failure::system(failed))?;
        config.write_all(configuration().as_bytes()).map_err(Failure::system(failed))?;
        Ok(Self { config, credentials: Arc::new(Credentials::secret(SECRET)) })
    }

    /// How to start it.
    pub(super) fn launch(&self, gateway: &Launch) -> Launch {
        gateway.with_arguments(["--config".to_owned(), self.config.path().to_string_lossy().into_owned()])
    }

    /// How to speak to it.
    pub(super) fn dialect(&self) -> Dialect {
        let credentials = Arc::clone(&self.credentials);
        Dialect::Native(Native { credentials, channel_base: CHANNEL.to_owned() })
    }
}

fn configuration() -> String {
    format!(
        r#"
[[auth.jwt.keys]]
alg = "HS256"
secret = "{SECRET}"

[namespaces.bench]
subscribe = "user"
publish = "user"

[session]
messages_per_second = 1_000_000
bytes_per_second = 1_000_000_000
"#
    )
}
