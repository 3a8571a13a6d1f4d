//! What a client shows of itself in `connect`: nothing, one token for all, or a JWT of its own.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Who the clients are.
pub(crate) enum Credentials {
    /// Anonymous.
    None,
    /// The same token for all.
    Token(String),
    /// A token for each, signed with HS256 (RFC 7515, appendix A.1): client N is the user `user-N`.
    Secret(Box<hmac::Key>),
}

/// No run is longer than that.
const TOKEN_LIFE: Duration = Duration::from_secs(25 * 3600);

impl Credentials {
    /// From the secret that the server checks tokens with.
    pub(crate) fn secret(secret: &str) -> Self {
        Self::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
    }

    /// The token of client `number`.
    pub(crate) fn token(&self, number: usize) -> Option<String> {
        match self {
            Self::None => None,
            Self::Token(token) => Some(token.clone()),
            Self::Secret(key) => Some(sign(key, number, unix_seconds() + TOKEN_LIFE.as_secs())),
        }
    }
}

fn sign(key: &hmac::Key, number: usize, expires_at: u64) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(
        format!(r#"{{"sub":"user-{number}","exp":{expires_at},"jti":"{number}"}}"#),
        &mut token,
    );
    let signature = hmac::sign(key, token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// A clock before 1970 makes tokens that are expired, which servers say in plain words.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Secrets are not shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::Secret(_) => "Secret(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_a_token_of_its_own_that_the_secret_verifies() {
        let credentials = Credentials::secret("0123456789abcdef0123456789abcdef");
        let token = credentials.token(17).unwrap();
        assert_ne!(credentials.token(18).unwrap(), token);

        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let decode = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(decode(header), r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims: serde_json::Value = serde_json::from_str(&decode(claims)).unwrap();
        assert_eq!(claims["sub"], "user-17");
        assert!(claims["exp"].as_u64().unwrap() > unix_seconds() + 3600);
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef0123456789abcdef");
        hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    }

    #[test]
    fn one_token_serves_all_and_none_none() {
        assert_eq!(Credentials::Token("t".to_owned()).token(1).as_deref(), Some("t"));
        assert_eq!(Credentials::None.token(1), None);
        assert!(!format!("{:?}", Credentials::Token("hush".to_owned())).contains("hush"));
    }
}
