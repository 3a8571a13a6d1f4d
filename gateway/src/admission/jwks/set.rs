//! The text of a key set. Keys that are of no use here are passed over, as RFC 7517, section 5, wants it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;
use tidegate_service::config::Choice;

use crate::admission::token::key::{Key, KeySet};
use crate::config::auth::Algorithm;

/// Keys in one set.
const KEYS_MAX: usize = 128;

/// The text holds no key that tokens could be checked with.
#[derive(Debug, Error)]
pub(crate) enum SetError {
    #[error("this is not a key set: a JSON object with a list `keys`")]
    Syntax,
    #[error("the set has {0} keys; at most {KEYS_MAX} are taken")]
    TooMany(usize),
    #[error("none of the {0} keys in the set can be used: RSA of 2048 bits and more, P-256, P-384, Ed25519")]
    NoneUsable(usize),
}

#[derive(Deserialize)]
struct RawSet<'s> {
    #[serde(borrow)]
    keys: Vec<&'s RawValue>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a set.
pub(super) fn parse(text: &[u8]) -> Result<KeySet, SetError> {
    let set: RawSet<'_> = serde_json::from_slice(text).map_err(|_| SetError::Syntax)?;
    if set.keys.len() > KEYS_MAX {
        return Err(SetError::TooMany(set.keys.len()));
    }
    let keys: Vec<Key> =
        set.keys.iter().filter_map(|raw| key(&serde_json::from_str(raw.get()).ok()?)).collect();
    if keys.is_empty() { Err(SetError::NoneUsable(set.keys.len())) } else { Ok(KeySet::new(keys)) }
}

/// A key for signatures, in an algorithm of ours. Secrets (`oct`) are none: who publishes one has lost it.
fn key(raw: &RawKey) -> Option<Key> {
    let is_for_signatures = raw.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
        && raw.key_ops.as_ref().is_none_or(|uses| uses.iter().any(|purpose| purpose == "verify"));
    if !is_for_signatures {
        return None;
    }
    let named = match &raw.alg {
        Some(alg) => Some(Algorithm::ALL.iter().find(|(_, name)| name == alg)?.0),
        None => None,
    };
    let bytes = |field: &Option<String>| URL_SAFE_NO_PAD.decode(field.as_ref()?).ok();
    let (kind, curve) = (raw.kty.as_str(), raw.crv.as_deref());
    match (kind, curve, named) {
        // A provider that says nothing means RS256, the one that all of them speak.
        ("RSA", _, None | Some(Algorithm::Rs256)) => rsa(Algorithm::Rs256, raw),
        (
            "RSA",
            _,
            Some(
                algorithm @ (Algorithm::Rs384
                | Algorithm::Rs512
                | Algorithm::Ps256
                | Algorithm::Ps384
                | Algorithm::Ps512),
            ),
        ) => rsa(algorithm, raw),
        ("EC", Some("P-256"), None | Some(Algorithm::Es256)) => point(Algorithm::Es256, 32, raw),
        ("EC", Some("P-384"), None | Some(Algorithm::Es384)) => point(Algorithm::Es384, 48, raw),
        ("OKP", Some("Ed25519"), None | Some(Algorithm::EdDsa)) => {
            Key::public(Algorithm::EdDsa, raw.kid.clone(), &bytes(&raw.x)?).ok()
        }
        _ => None,
    }
}

fn rsa(algorithm: Algorithm, raw: &RawKey) -> Option<Key> {
    let number = |field: &Option<String>| {
        let bytes = URL_SAFE_NO_PAD.decode(field.as_ref()?).ok()?;
        // Some providers pad numbers to whole words.
        let start = bytes.iter().position(|byte| *byte != 0)?;
        Some(bytes[start..].to_vec())
    };
    Key::rsa(algorithm, raw.kid.clone(), &number(&raw.n)?, &number(&raw.e)?).ok()
}

/// A point of a curve, uncompressed (SEC 1, section 2.3.3): coordinates of fixed length after a four.
fn point(algorithm: Algorithm, coordinate_bytes: usize, raw: &RawKey) -> Option<Key> {
    let mut point = vec![4];
    for coordinate in [&raw.x, &raw.y] {
        let bytes = URL_SAFE_NO_PAD.decode(coordinate.as_ref()?).ok()?;
        if bytes.len() != coordinate_bytes {
            return None;
        }
        point.extend_from_slice(&bytes);
    }
    Key::public(algorithm, raw.kid.clone(), &point).ok()
}
