//! Sections `[store]` and `[bus]`: what nodes share, and what one node remembers in its own memory.

use std::path::PathBuf;
use std::time::Duration;

use tidegate_service::config::{Checks, Secret, ServerUrl, bytes, value};
use tidegate_service::config_section;

use super::{GIB, MIB, milliseconds, seconds};

config_section! {
    /// Where sessions, histories and presence are kept.
    pub struct Store {
        /// `memory:` is this process: nothing survives it, and no other node sees it. Or Redis 7 or later, which all nodes
        /// share: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `redis-sentinel://HOST,HOST/SERVICE`,
        /// `redis-cluster://HOST,HOST`; with `rediss` in place of `redis` over TLS.
        pub url: ServerUrl = value(ServerUrl::new(ServerUrl::MEMORY)).checked(ServerUrl::check_redis);
        /// What the name of every key in Redis begins with: clusters that share a server need different ones.
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
        /// Connections to each Redis server.
        pub connections: usize = value(2).within(1..=64);
        /// How long a call of the store may take.
        pub timeout: Duration = value(seconds(2)).within(milliseconds(10)..=seconds(60));
        /// In memory: sessions, dropped ones that may come back included; the ones closest to their end make room.
        pub sessions: usize = value(200_000).within(1..=100_000_000);
        /// In memory: channels with history; the ones used longest ago make room, and their subscribers are told.
        pub history_channels: usize = value(100_000).within(1..=100_000_000);
        /// In memory: bytes of all histories together.
        pub history_bytes: usize = bytes(256 * MIB).within(MIB..=1024 * GIB);
        /// In memory: members of all channels with presence together.
        pub presence_members: usize = value(500_000).within(1..=100_000_000);
    }
}

config_section! {
    /// How nodes reach each other.
    pub struct Bus {
        /// `memory:`: there is one node. Or servers of one NATS cluster, 2.9 or later, with commas in between:
        /// `nats://[USER:PASSWORD@]HOST:PORT`, over TLS `tls://HOST:PORT`.
        pub url: ServerUrl = value(ServerUrl::new(ServerUrl::MEMORY)).checked(ServerUrl::check_nats);
        /// What every subject begins with: clusters that share servers need different ones.
        pub prefix: String = value("tidegate".to_owned());
        /// Credentials file with a JWT and its seed.
        pub credentials_file: Option<PathBuf> = value(None);
        /// Seed of an nkey, `SU…`.
        pub nkey_seed: Option<Secret> = value(None);
        /// Token.
        pub token: Option<Secret> = value(None);
        /// PEM file of the authorities that may have signed the servers' certificates; the system's, if none is set.
        pub tls_ca_file: Option<PathBuf> = value(None);
        /// How long connecting, sending and subscribing may take.
        pub timeout: Duration = value(seconds(2)).within(milliseconds(10)..=seconds(60));
        /// How long a channel stays subscribed that has no member on this node any more.
        pub linger: Duration = value(seconds(10)).within(Duration::ZERO..=seconds(3600));
        /// Channels that this node listens to at most.
        pub channels: usize = value(100_000).within(1..=10_000_000);
    }
}

/// Reports every rule between the keys of both sections, and with `node.replicas`, that is broken.
pub(super) fn check(store: &Store, bus: &Bus, replicas: u32, checks: &mut Checks<'_>) {
    let (store_is_own, bus_is_own) = (store.url.is_memory(), bus.url.is_memory());
    if replicas > 1 && (store_is_own || bus_is_own) {
        let message = format!(
            "{replicas} gateways that keep everything in their own memory would know nothing of each other's clients; \
             set store.url to your Redis and bus.url to your NATS servers, or node.replicas to 1"
        );
        checks.fault(&["node.replicas", "store.url", "bus.url"], message);
    } else if store_is_own && !bus_is_own {
        let message = "nodes that share a bus have to share a store: set store.url to your Redis";
        checks.fault(&["store.url", "bus.url"], message);
    }
    let ways = [bus.credentials_file.is_some(), bus.nkey_seed.is_some(), bus.token.is_some()];
    if ways.into_iter().filter(|is_set| *is_set).count() > 1 {
        let message = "set one of them: this node is one user of the bus";
        checks.fault(&["bus.credentials_file", "bus.nkey_seed", "bus.token"], message);
    }
}
