//! Sections `[store]` and `[bus]`: the servers that gateways and control plane share.

use std::path::PathBuf;
use std::time::Duration;

use tidegate_service::config::{Checks, Secret, ServerUrl, value};
use tidegate_service::config_section;

use super::{milliseconds, seconds};

config_section! {
    /// Where operations are kept, and where the gateways say that they are there. The same as the gateways have.
    pub struct Store {
        /// `memory:` is this process: it is the only replica, and forgets everything with its end. Or Redis 7 or later:
        /// `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `redis-sentinel://HOST,HOST/SERVICE`,
        /// `redis-cluster://HOST,HOST`; with `rediss` in place of `redis` over TLS.
        pub url: ServerUrl = value(ServerUrl::new(ServerUrl::MEMORY)).checked(ServerUrl::check_redis);
        /// What the name of every key in Redis begins with.
        pub prefix: String = value("tidegate:".to_owned());
        /// User of Redis' access control list, in place of the URL's.
        pub username: Option<String> = value(None);
        /// Its password, in place of the URL's.
        pub password: Option<Secret> = value(None);
        /// User of the sentinels' access control list, where they ask for one.
        pub sentinel_username: Option<String> = value(None);
        /// Password of the sentinels. The URL's is that of the servers they watch.
        pub sentinel_password: Option<Secret> = value(None);
        /// PEM file of the authorities that may have signed the server's certificate; the system's, if none is set.
        pub tls_ca_file: Option<PathBuf> = value(None);
        /// How long a call of the store may take.
        pub timeout: Duration = value(seconds(2)).within(milliseconds(10)..=seconds(60));
    }
}

config_section! {
    /// How the gateways reach each other; the health document goes out over it.
    pub struct Bus {
        /// `memory:`: there is none. Or servers of one NATS cluster, 2.9 or later, with commas in between:
        /// `nats://[USER:PASSWORD@]HOST:PORT`, over TLS `tls://HOST:PORT`.
        pub url: ServerUrl = value(ServerUrl::new(ServerUrl::MEMORY)).checked(ServerUrl::check_nats);
        /// What every subject begins with; the health document goes to `PREFIX.health`.
        pub prefix: String = value("tidegate".to_owned());
        /// Credentials file with a JWT and its seed.
        pub credentials_file: Option<PathBuf> = value(None);
        /// Seed of an nkey, `SU…`.
        pub nkey_seed: Option<Secret> = value(None);
        /// Token.
        pub token: Option<Secret> = value(None);
        /// PEM file of the authorities that may have signed the servers' certificates; the system's, if none is set.
        pub tls_ca_file: Option<PathBuf> = value(None);
        /// How long connecting and sending may take.
        pub timeout: Duration = value(seconds(2)).within(milliseconds(10)..=seconds(60));
    }
}

/// Reports every rule between the keys that is broken.
pub(super) fn check(store: &Store, bus: &Bus, checks: &mut Checks<'_>) {
    if store.url.is_memory() && !bus.url.is_memory() {
        let message = "gateways that share a bus share a store as well: set store.url to their Redis";
        checks.fault(&["store.url", "bus.url"], message);
    }
    let ways = [bus.credentials_file.is_some(), bus.nkey_seed.is_some(), bus.token.is_some()];
    if ways.into_iter().filter(|is_set| *is_set).count() > 1 {
        let message = "set one of them: this process is one user of the bus";
        checks.fault(&["bus.credentials_file", "bus.nkey_seed", "bus.token"], message);
    }
}
