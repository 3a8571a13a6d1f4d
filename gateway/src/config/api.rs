//! Section `[api]`: the port by which servers publish, look and manage.

use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate_service::config::{Checks, Secret, required, tables, value};
use tidegate_service::{config_choice, config_section};

use super::auth::check_shared_key;

config_section! {
    /// The port by which your servers publish, look and manage. Without a key it answers every call with 401.
    pub struct Api {
        /// Address and port; port 0 takes a free one.
        pub listen: SocketAddr = value(SocketAddr::from(([127, 0, 0, 1], 8001)));
        /// Keys of the server API.
        pub keys: Vec<ApiKey> = tables(Vec::new);
    }
}

config_section! {
    /// A key of the server API, sent as `Authorization: Bearer KEY`.
    pub struct ApiKey {
        /// What logs call it.
        pub name: String = required();
        /// The key itself, at least 16 bytes.
        pub secret: Option<Secret> = value(None);
        /// File that holds it; a line break at its end is not part of it.
        pub secret_file: Option<PathBuf> = value(None);
        /// What it may do.
        pub rights: Vec<Right> = required();
    }
}

config_choice! {
    /// What a key of the server API may do.
    pub enum Right {
        /// Publish on any channel.
        Publish = "publish",
        /// Send to any user or session.
        Send = "send",
        /// Subscribe and unsubscribe any user or session.
        Subscribe = "subscribe",
        /// Disconnect and revoke any user, session or token.
        Disconnect = "disconnect",
        /// Look: channels, presence, history, sessions, nodes.
        Read = "read",
    }
}

/// Reports every rule between the keys of `[api]` that is broken.
pub(super) fn check(api: &Api, checks: &mut Checks<'_>) {
    for (index, key) in api.keys.iter().enumerate() {
        let path = format!("api.keys[{index}]");
        check_shared_key(key.secret.as_ref(), key.secret_file.is_some(), &path, checks);
        let same_name = api.keys[..index].iter().position(|other| other.name == key.name);
        if let Some(other) = same_name {
            let message = format!("both are called {:?}; logs could not tell them apart", key.name);
            checks.fault(&[&format!("api.keys[{other}].name"), &format!("{path}.name")], message);
        }
        if key.rights.is_empty() {
            checks.fault(
                &[&format!("{path}.rights")],
                "a key without rights can do nothing; name at least one",
            );
        }
    }
}
