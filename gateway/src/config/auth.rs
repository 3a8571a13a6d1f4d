//! Sections `[auth]` and below: whom the gateway believes to be who they say.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_service::config::{Checks, Secret, required, section, tables, value};
use tidegate_service::{config_choice, config_section};

use super::{milliseconds, seconds};

config_section! {
    /// Who may connect, and how they prove who they are. Without any of the ways below and without `anonymous`, nobody.
    pub struct Auth {
        /// Whether a client without token may connect. Its user is `""`: it may do what namespaces allow to `anyone`.
        pub anonymous: bool = value(false);
        /// Certificate authorities in PEM that `https` servers named in this section are checked against. Not set: those
        /// of the system.
        pub ca_file: Option<PathBuf> = value(None);
        /// Tokens that an identity provider or your application signs (JSON Web Tokens, RFC 7519).
        pub jwt: Jwt = section();
        /// Keys of clients that are programs of your own: sent in place of a token.
        pub api_keys: Vec<ClientKey> = tables(Vec::new);
        /// A server of yours that is asked instead.
        pub hook: Hook = section();
    }
}

config_section! {
    /// Tokens that an identity provider or your application signs (JSON Web Tokens, RFC 7519). On when there is a key.
    pub struct Jwt {
        /// What a token's `iss` must be. Not set: it is not looked at.
        pub issuer: Option<String> = value(None);
        /// Of these a token's `aud` must name one. Empty: only tokens without `aud` are taken, for one that names an
        /// audience is not meant for others (RFC 7519, section 4.1.3).
        pub audience: Vec<String> = value(Vec::new());
        /// How far the clocks of signer and gateway may be apart.
        pub leeway: Duration = value(seconds(30)).within(Duration::ZERO..=seconds(600));
        /// Query parameter of the handshake that may hold the token, for clients that can set no header. Not set: none;
        /// addresses end up in logs, so prefer the token in `connect`.
        pub query_parameter: Option<String> = value(None).checked(check_query_parameter);
        /// Keys that tokens are checked with.
        pub keys: Vec<JwtKey> = tables(Vec::new);
        /// Where the provider publishes its public keys (RFC 7517): `https://…`, or `http://…` inside the cluster.
        pub jwks_url: Option<String> = value(None).checked(check_optional_url);
        /// File with such keys, for providers that the gateway does not reach.
        pub jwks_file: Option<PathBuf> = value(None);
        /// How often the keys are read again.
        pub jwks_refresh: Duration = value(seconds(600)).within(seconds(1)..=seconds(86_400));
        /// How long reading them may take.
        pub jwks_timeout: Duration = value(seconds(5)).within(milliseconds(10)..=seconds(60));
        /// Shortest time between two readings that tokens with unknown keys cause.
        pub jwks_pause: Duration = value(seconds(10)).within(milliseconds(100)..=seconds(3600));
    }
}

config_section! {
    /// One key that tokens are checked with.
    pub struct JwtKey {
        /// The only algorithm the key is used with.
        pub alg: Algorithm = required();
        /// The key's id: tokens that name another one are not checked with it. Not set: it is tried for each.
        pub kid: Option<String> = value(None);
        /// Shared secret of `HS…`, at least as long as the algorithm's hash (RFC 7518, section 3.2).
        pub secret: Option<Secret> = value(None);
        /// File that holds the secret; a line break at its end is not part of it.
        pub secret_file: Option<PathBuf> = value(None);
        /// Public key in PEM (`BEGIN PUBLIC KEY`), for all other algorithms.
        pub public_key_file: Option<PathBuf> = value(None);
    }
}

config_choice! {
    /// Signature algorithm (RFC 7518, section 3.1, and RFC 8037).
    pub enum Algorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
        /// RSA PKCS #1 with SHA-256.
        Rs256 = "RS256",
        /// RSA PKCS #1 with SHA-384.
        Rs384 = "RS384",
        /// RSA PKCS #1 with SHA-512.
        Rs512 = "RS512",
        /// RSA PSS with SHA-256.
        Ps256 = "PS256",
        /// RSA PSS with SHA-384.
        Ps384 = "PS384",
        /// RSA PSS with SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

config_section! {
    /// The key of a client that is a program of your own: sent in place of a token.
    pub struct ClientKey {
        /// What logs call it.
        pub name: String = required();
        /// The key itself, at least 16 bytes.
        pub secret: Option<Secret> = value(None);
        /// File that holds it; a line break at its end is not part of it.
        pub secret_file: Option<PathBuf> = value(None);
        /// The user that its sessions have.
        pub user: String = required();
        /// Channels it may subscribe to where a namespace says `claim`; a name that ends in `*` is a prefix.
        pub subscribe: Vec<String> = value(Vec::new());
        /// Channels it may publish on where a namespace says `claim`.
        pub publish: Vec<String> = value(Vec::new());
    }
}

config_section! {
    /// A server of yours that is asked by `POST` with JSON: at each connect where `connect_url` is set, and for channels
    /// of namespaces whose `subscribe` or `publish` is `hook`. Where it gives no answer, the client may not.
    pub struct Hook {
        /// Asked who a client is. A token or API key that was found good is passed on with the question.
        pub connect_url: Option<String> = value(None).checked(check_optional_url);
        /// Asked whether a session may subscribe.
        pub subscribe_url: Option<String> = value(None).checked(check_optional_url);
        /// Asked whether a session may publish.
        pub publish_url: Option<String> = value(None).checked(check_optional_url);
        /// How long an answer may take, waiting for a free place included.
        pub timeout: Duration = value(seconds(2)).within(milliseconds(10)..=seconds(60));
        /// Questions under way at the same time; further ones wait for a place.
        pub concurrent_max: usize = value(64).within(1..=10_000);
        /// Failures in a row after which the server is left alone for a while.
        pub breaker_failures: u32 = value(5).within(1..=1000);
        /// How long it is left alone; then one question finds out whether it is back.
        pub breaker_open: Duration = value(seconds(5)).within(milliseconds(100)..=seconds(600));
    }
}

impl Algorithm {
    /// Whether signer and gateway share one secret.
    pub(crate) const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    /// Bytes of the shortest secret that is as strong as the algorithm (RFC 7518, section 3.2).
    pub(crate) const fn secret_bytes_min(self) -> usize {
        match self {
            Self::Hs384 => 48,
            Self::Hs512 => 64,
            _ => 32,
        }
    }
}

/// Reports every rule between the keys of `[auth]` that is broken.
pub(super) fn check(auth: &Auth, checks: &mut Checks<'_>) {
    for (index, key) in auth.jwt.keys.iter().enumerate() {
        check_jwt_key(key, &format!("auth.jwt.keys[{index}]"), checks);
    }
    if auth.jwt.keys.len() > KEYS_MAX {
        checks.fault(
            &["auth.jwt.keys"],
            format!("found {} keys, expected at most {KEYS_MAX}", auth.jwt.keys.len()),
        );
    }
    if auth.jwt.jwks_url.is_some() && auth.jwt.jwks_file.is_some() {
        checks.fault(
            &["auth.jwt.jwks_url", "auth.jwt.jwks_file"],
            "the keys have one place; set only one of both",
        );
    }
    for (index, key) in auth.api_keys.iter().enumerate() {
        let path = format!("auth.api_keys[{index}]");
        check_shared_key(key.secret.as_ref(), key.secret_file.is_some(), &path, checks);
        for (list, patterns) in [("subscribe", &key.subscribe), ("publish", &key.publish)] {
            check_patterns(patterns, &format!("{path}.{list}"), checks);
        }
    }
}

/// Each fault names `alg` too: what else a key needs is not known while that is faulty itself.
fn check_jwt_key(key: &JwtKey, path: &str, checks: &mut Checks<'_>) {
    let field = |name: &str| format!("{path}.{name}");
    let alg = field("alg");
    if !key.alg.is_symmetric() {
        if key.secret.is_some() || key.secret_file.is_some() {
            let message = "this algorithm has a public key and no secret; set public_key_file instead";
            checks.fault(&[&alg, &field("secret")], message);
        } else if key.public_key_file.is_none() {
            checks.fault(&[&alg, &field("public_key_file")], "this algorithm needs public_key_file");
        }
        return;
    }
    if key.public_key_file.is_some() {
        let message = "this algorithm has a shared secret; a public one would let everybody sign";
        checks.fault(&[&alg, &field("public_key_file")], message);
    }
    one_secret(key.secret.as_ref(), key.secret_file.is_some(), (&alg, path), checks);
    let short = key.secret.as_ref().filter(|secret| secret.expose().len() < key.alg.secret_bytes_min());
    if let Some(secret) = short {
        let message = short_secret(secret.expose().len(), key.alg.secret_bytes_min());
        checks.fault(&[&alg, &field("secret")], message);
    }
}

/// The rules of a key that is sent as it is.
pub(super) fn check_shared_key(secret: Option<&Secret>, has_file: bool, path: &str, checks: &mut Checks<'_>) {
    one_secret(secret, has_file, (&format!("{path}.name"), path), checks);
    let bytes = secret.map_or(API_KEY_BYTES_MIN, |secret| secret.expose().len());
    if bytes < API_KEY_BYTES_MIN {
        checks.fault(&[&format!("{path}.secret")], short_secret(bytes, API_KEY_BYTES_MIN));
    }
}

/// `of` is the key that the secret belongs to, and the table it is in.
fn one_secret(secret: Option<&Secret>, has_file: bool, of: (&str, &str), checks: &mut Checks<'_>) {
    let (owner, path) = of;
    let keys = [format!("{path}.secret"), format!("{path}.secret_file")];
    match (secret, has_file) {
        (Some(_), true) => {
            checks.fault(&[&keys[0], &keys[1]], "the secret has one place; set only one of both")
        }
        (None, false) => checks.fault(&[owner, &keys[0]], "there is no secret; set secret or secret_file"),
        (Some(_), false) | (None, true) => {}
    }
}

fn short_secret(bytes: usize, least: usize) -> String {
    let mut message = format!("found {bytes} bytes, expected at least {least}");
    if bytes > 0 {
        let _ = write!(message, "; shorter ones can be guessed (try `openssl rand -hex {}`)", least / 2);
    }
    message
}

fn check_patterns(patterns: &[String], path: &str, checks: &mut Checks<'_>) {
    for (index, pattern) in patterns.iter().enumerate() {
        if let Err(error) = tidegate_protocol::channel::ChannelPattern::parse(pattern) {
            checks.fault(&[path], format!("entry {index}: {error}"));
        }
    }
}

fn check_optional_url(url: &Option<String>) -> Result<(), String> {
    url.as_deref().map_or(Ok(()), crate::admission::outgoing::check_url)
}

fn check_query_parameter(name: &Option<String>) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match name {
        Some(name) if name.is_empty() || !name.bytes().all(is_plain) => {
            Err(format!("found {name:?}, expected letters, digits, hyphens, underscores and dots"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Keys in the configuration: each token without `kid` may be tried with all of them.
const KEYS_MAX: usize = 32;
/// Bytes of the shortest key that is sent as it is.
pub(crate) const API_KEY_BYTES_MIN: usize = 16;
