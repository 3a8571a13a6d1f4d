//! Keys that are sent as they are: of servers that use the server API, and of clients that are programs.
//!
//! Place in the data path: asked for each call of the server API, and at `connect` with a token that is no JWT. Kept and
//! compared as hashes: comparing takes the same time whatever the key has in common with a right one, and whichever
//! of them it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use thiserror::Error;
use tidegate_protocol::channel::ChannelPattern;
use tidegate_service::config::Secret;

use super::permission::Permissions;
use crate::config::api::{ApiKey, Right};
use crate::config::auth::{API_KEY_BYTES_MIN, ClientKey};

/// Keys, each with what it grants.
#[derive(Debug)]
pub(crate) struct KeyRing<G> {
    keys: Box<[Known<G>]>,
    stats: KeyStats,
}

/// Keys of the server API, with their rights.
pub(crate) type ApiKeys = KeyRing<Box<[Right]>>;

/// Keys of clients.
pub(crate) type ClientKeys = KeyRing<ClientGrant>;

/// One key that is known.
#[derive(Debug)]
pub(crate) struct Known<G> {
    name: Box<str>,
    digest: Digest,
    grant: G,
}

/// Who a client with a key is.
#[derive(Clone, Debug)]
pub(crate) struct ClientGrant {
    pub(crate) user: Arc<str>,
    pub(crate) permissions: Permissions,
}

/// How many keys were presented.
#[derive(Debug, Default)]
pub(crate) struct KeyStats {
    pub(crate) known: AtomicU64,
    pub(crate) unknown: AtomicU64,
}

/// A key of the configuration cannot be used. Names its place, never its content.
#[derive(Debug, Error)]
pub(crate) enum KeySetupError {
    #[error("{place}: {} cannot be read: {source}", path.display())]
    File { place: String, path: PathBuf, source: std::io::Error },
    #[error("{place}: found {bytes} bytes, expected at least {API_KEY_BYTES_MIN}")]
    Short { place: String, bytes: usize },
    #[error("{place}: {fault}")]
    Pattern { place: String, fault: String },
}

impl<G> KeyRing<G> {
    fn new(keys: Vec<Known<G>>) -> Self {
        Self { keys: keys.into(), stats: KeyStats::default() }
    }

    pub(crate) fn stats(&self) -> &KeyStats {
        &self.stats
    }

    /// The key that was presented. All are compared, also after one fits.
    pub(crate) fn find(&self, presented: &str) -> Option<&Known<G>> {
        let presented = digest(&SHA256, presented.as_bytes());
        let mut found = None;
        for key in &self.keys {
            if verify_slices_are_equal(key.digest.as_ref(), presented.as_ref()).is_ok() {
                found = Some(key);
            }
        }
        let counter = if found.is_some() { &self.stats.known } else { &self.stats.unknown };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }
}

impl ApiKeys {
    /// The keys of `[[api.keys]]`.
    pub(crate) fn from_config(config: &[ApiKey]) -> Result<Self, KeySetupError> {
        let keys = config.iter().enumerate().map(|(index, key)| {
            let place = format!("api.keys[{index}]");
            let digest = secret_digest(key.secret.as_ref(), key.secret_file.as_deref(), &place)?;
            Ok(Known { name: key.name.as_str().into(), digest, grant: key.rights.as_slice().into() })
        });
        Ok(Self::new(keys.collect::<Result<_, _>>()?))
    }
}

impl ClientKeys {
    /// The keys of `[[auth.api_keys]]`.
    pub(crate) fn from_config(config: &[ClientKey]) -> Result<Self, KeySetupError> {
        let keys = config.iter().enumerate().map(|(index, key)| {
            let place = format!("auth.api_keys[{index}]");
            let digest = secret_digest(key.secret.as_ref(), key.secret_file.as_deref(), &place)?;
            let patterns = |field: &str, texts: &[String]| {
                let fault = |error: tidegate_protocol::channel::ChannelError| KeySetupError::Pattern {
                    place: format!("{place}.{field}"),
                    fault: error.to_string(),
                };
                texts.iter().map(|text| ChannelPattern::parse(text).map_err(fault)).collect::<Result<_, _>>()
            };
            let permissions = Permissions {
                subscribe: patterns("subscribe", &key.subscribe)?,
                publish: patterns("publish", &key.publish)?,
            };
            let grant = ClientGrant { user: key.user.as_str().into(), permissions };
            Ok(Known { name: key.name.as_str().into(), digest, grant })
        });
        Ok(Self::new(keys.collect::<Result<_, _>>()?))
    }
}

impl<G> Known<G> {
    /// What logs call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn grant(&self) -> &G {
        &self.grant
    }
}

fn secret_digest(secret: Option<&Secret>, file: Option<&Path>, place: &str) -> Result<Digest, KeySetupError> {
    let read = match file {
        Some(path) => std::fs::read_to_string(path).map_err(|source| KeySetupError::File {
            place: format!("{place}.secret_file"),
            path: path.to_path_buf(),
            source,
        })?,
        None => String::new(),
    };
    let key = secret.map_or_else(|| read.trim_end_matches(['\r', '\n']), Secret::expose);
    if key.len() < API_KEY_BYTES_MIN {
        let field = if file.is_some() { "secret_file" } else { "secret" };
        return Err(KeySetupError::Short { place: format!("{place}.{field}"), bytes: key.len() });
    }
    Ok(digest(&SHA256, key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn key(name: &str, secret: &str, rights: &[Right]) -> ApiKey {
        ApiKey {
            name: name.to_owned(),
            secret: Some(Secret::new(secret)),
            secret_file: None,
            rights: rights.to_vec(),
        }
    }

    #[test]
    fn a_key_is_found_whole_and_only_whole() {
        let keys = ApiKeys::from_config(&[
            key("app", "0123456789abcdef", &[Right::Publish]),
            key("ops", "fedcba9876543210", &[Right::Read]),
        ])
        .unwrap();

        assert_eq!(keys.find("fedcba9876543210").map(Known::name), Some("ops"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef ", "0123456789ABCDEF"] {
            assert!(keys.find(wrong).is_none(), "{wrong}");
        }
        assert_eq!(keys.stats().known.load(Ordering::Relaxed), 1);
        assert_eq!(keys.stats().unknown.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_key_has_its_own_rights_and_no_others() {
        let keys = ApiKeys::from_config(&[
            key("app", "0123456789abcdef", &[Right::Publish, Right::Send]),
            key("ops", "fedcba9876543210", &[Right::Read]),
        ])
        .unwrap();

        assert_eq!(**keys.find("0123456789abcdef").unwrap().grant(), [Right::Publish, Right::Send]);
        assert_eq!(**keys.find("fedcba9876543210").unwrap().grant(), [Right::Read]);
    }

    #[test]
    fn a_key_from_a_file_is_its_line_without_the_break() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789abcdef\n").unwrap();
        let from_file = |path: &Path| ApiKey {
            secret: None,
            secret_file: Some(path.into()),
            ..key("app", "", &[Right::Read])
        };

        let keys = ApiKeys::from_config(&[from_file(file.path())]).unwrap();
        assert!(keys.find("0123456789abcdef").is_some());

        let error = ApiKeys::from_config(&[from_file(Path::new("/does/not/exist"))]).unwrap_err();
        assert!(error.to_string().starts_with("api.keys[0].secret_file: /does/not/exist cannot be read"));
        file.as_file().set_len(3).unwrap();
        let error = ApiKeys::from_config(&[from_file(file.path())]).unwrap_err();
        assert_eq!(error.to_string(), "api.keys[0].secret_file: found 3 bytes, expected at least 16");
    }

    #[test]
    fn a_clients_key_stands_for_its_user() {
        let config = ClientKey {
            name: "sensor".to_owned(),
            secret: Some(Secret::new("0123456789abcdef")),
            secret_file: None,
            user: "sensor-7".to_owned(),
            subscribe: Vec::new(),
            publish: vec!["data:7-*".to_owned()],
        };
        let keys = ClientKeys::from_config(&[config]).unwrap();

        let grant = keys.find("0123456789abcdef").unwrap().grant();

        assert_eq!(&*grant.user, "sensor-7");
        assert!(grant.permissions.publish[0].matches("data:7-a"));
    }

    #[test]
    fn without_keys_none_is_known() {
        let keys = ApiKeys::from_config(&[]).unwrap();

        assert!(keys.find("").is_none());
    }

    #[test]
    fn no_key_is_shown_by_debugging() {
        let keys = ApiKeys::from_config(&[key("app", "0123456789abcdef", &[Right::Read])]).unwrap();
        assert!(!format!("{keys:?}").contains("0123456789abcdef"));
    }
}
