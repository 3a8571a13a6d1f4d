//! Rules that a type and a range cannot say, and rules between keys.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;

use tidegate_service::config::Checks;

use super::{Client, Config, Limits, Raw, RawMode};
use super::{api, auth, namespaces, overload, shares, store};
use crate::admission::origin::AllowedOrigins;
use crate::http::raw_path::RawPath;

/// Longest node name, as for a Kubernetes pod.
const NODE_NAME_BYTES_MAX: usize = 253;

/// Reports every rule between keys that is broken.
pub(super) fn check(config: &Config, checks: &mut Checks<'_>) {
    let (client, api, admin) = (config.client.listen, config.api.listen, config.admin.listen);
    check_listeners(("client.listen", client), ("api.listen", api), checks);
    check_listeners(("client.listen", client), ("admin.listen", admin), checks);
    check_listeners(("api.listen", api), ("admin.listen", admin), checks);
    store::check(&config.store, &config.bus, config.node.replicas, checks);
    check_client(&config.client, checks);
    check_limits(&config.limits, checks);
    shares::check(&config.limits.cluster, checks);
    check_raw(&config.raw, checks);
    api::check(&config.api, checks);
    auth::check(&config.auth, checks);
    namespaces::check(&config.namespaces, &config.auth.hook, checks);
    overload::check(&config.overload, config.limits.pool_bytes, checks);
}

/// Node names go into log fields, metrics and message subjects.
pub(super) fn check_node_name(name: &String) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > NODE_NAME_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err(format!(
            "found {name:?}, expected 1 to {NODE_NAME_BYTES_MAX} letters, digits, hyphens, underscores and dots"
        ));
    }
    Ok(())
}

/// A subprotocol is a token (RFC 6455 section 4.1, RFC 9110 section 5.6.2), and is listed once.
pub(super) fn check_subprotocols(subprotocols: &Vec<String>) -> Result<(), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let mut seen = BTreeSet::new();
    for name in subprotocols {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!(
                "found {name:?}, expected a subprotocol: letters, digits and !#$%&'*+-.^_`|~"
            ));
        }
        if !seen.insert(name) {
            return Err(format!("{name:?} is listed twice"));
        }
    }
    Ok(())
}

fn check_listeners(one: (&str, SocketAddr), other: (&str, SocketAddr), checks: &mut Checks<'_>) {
    let is_shared = |address: SocketAddr| address.ip().is_unspecified();
    let ((one_key, one), (other_key, other)) = (one, other);
    let same_ip = one.ip() == other.ip() || is_shared(one) || is_shared(other);
    if one.port() != 0 && one.port() == other.port() && same_ip {
        let message = format!("both listen on port {}; give each its own", one.port());
        checks.fault(&[one_key, other_key], message);
    }
}

fn check_client(client: &Client, checks: &mut Checks<'_>) {
    for entry in &client.allowed_origins {
        if let Err(error) = AllowedOrigins::parse(std::slice::from_ref(entry)) {
            checks.fault(&["client.allowed_origins"], error.to_string());
        }
    }
    let keys = ["client.tls.cert_file", "client.tls.key_file"];
    match (&client.tls.cert_file, &client.tls.key_file) {
        (Some(_), None) => {
            checks.fault(&keys, "the certificate has no private key; set both, or none for no TLS");
        }
        (None, Some(_)) => {
            checks.fault(&keys, "the private key has no certificate; set both, or none for no TLS");
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

fn check_limits(limits: &Limits, checks: &mut Checks<'_>) {
    let mut at_most = |small: (&str, usize), large: (&str, usize), why: &str| {
        if small.1 > large.1 {
            let message = format!("{} bytes are more than {} bytes; {why}", small.1, large.1);
            checks.fault(&[small.0, large.0], message);
        }
    };
    let message = ("limits.message_bytes", limits.message_bytes);
    at_most(("limits.frame_bytes", limits.frame_bytes), message, "a frame cannot be longer than its message");
    at_most(message, ("limits.pool_bytes", limits.pool_bytes), "the pool must hold at least one message");
    let head = ("limits.header_bytes", limits.header_bytes);
    at_most(("limits.target_bytes", limits.target_bytes), head, "the target is part of the request head");
}

fn check_raw(raw: &[Raw], checks: &mut Checks<'_>) {
    let mut first_with = BTreeMap::new();
    for (index, route) in raw.iter().enumerate() {
        let path_key = format!("raw[{index}].path");
        if let Some(first) = first_with.insert(route.path.as_str(), index) {
            let message = format!("both serve {:?}; one path has one mode", route.path);
            checks.fault(&[&format!("raw[{first}].path"), &path_key], message);
        }
        let has_channel = RawPath::parse(&route.path).is_ok_and(|path| path.has_channel());
        if route.mode == RawMode::Channel && !has_channel {
            let message = format!(
                "the mode \"channel\" needs `{{channel}}` as a segment of the path, found {:?}; write for example \
                 \"/raw/{{channel}}\"",
                route.path
            );
            checks.fault(&[&path_key, &format!("raw[{index}].mode")], message);
        }
    }
}

/// A path that a request can have, or none.
pub(super) fn check_native_path(path: &String) -> Result<(), String> {
    let is_path = path.starts_with('/')
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#{}%".contains(&byte));
    match path.is_empty() || is_path {
        true => Ok(()),
        false => Err(format!("found {path:?}, expected a path such as /ws, or nothing")),
    }
}
