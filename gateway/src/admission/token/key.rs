//! Keys that signatures are checked with; each is for one algorithm only.
//!
//! A token names its algorithm itself, so a key that followed it could be talked into taking an RSA public key, which
//! everybody knows, for the secret of an HMAC. Here the key decides.

use std::fmt;
use std::fs;
use std::path::Path;

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::hmac;
use aws_lc_rs::signature as asymmetric;
use aws_lc_rs::signature::{ParsedPublicKey, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use tidegate_service::config::Choice;

use super::error::{TokenError, TokenSetupError};
use super::parts::Header;
use crate::config::auth::{Algorithm, JwtKey};

/// Keys tried for one token that does not say which it was signed with: each costs up to a tenth of a millisecond.
const TRIES_MAX: usize = 8;

/// One key.
pub(crate) struct Key {
    algorithm: Algorithm,
    id: Option<Box<str>>,
    material: Material,
}

enum Material {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// Several keys.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

/// What a key set says to a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(crate) enum Lookup {
    /// It is right.
    Verified,
    /// The key or keys that it may come from say no.
    BadSignature,
    /// The named key is there, but for another algorithm.
    OtherAlgorithm,
    /// There is no key for it.
    Missing,
}

impl KeySet {
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks a signature with the key that the header names; without a name, with all for its algorithm.
    pub(crate) fn verify(&self, header: &Header, message: &[u8], signature: &[u8]) -> Lookup {
        let may_fit = |key: &&Key| match (&key.id, &header.key_id) {
            (Some(own), Some(named)) => **own == **named,
            (None, _) | (_, None) => true,
        };
        let is_named = |key: &Key| key.id.is_some() && header.key_id.is_some();
        let mut found = Lookup::Missing;
        let mut tries = 0;
        for key in self.0.iter().filter(may_fit) {
            if key.algorithm != header.algorithm {
                if is_named(key) && found == Lookup::Missing {
                    found = Lookup::OtherAlgorithm;
                }
                continue;
            }
            if key.verifies(message, signature) {
                return Lookup::Verified;
            }
            found = Lookup::BadSignature;
            tries += 1;
            if tries == TRIES_MAX {
                break;
            }
        }
        found
    }
}

impl Lookup {
    pub(super) fn into_error(self) -> TokenError {
        match self {
            Self::Missing | Self::Verified => TokenError::NoKey,
            Self::BadSignature => TokenError::BadSignature,
            Self::OtherAlgorithm => TokenError::OtherAlgorithm,
        }
    }
}

impl Key {
    /// The `index`th of `[[auth.jwt.keys]]`.
    pub(super) fn from_config(index: usize, config: &JwtKey) -> Result<Self, TokenSetupError> {
        let place = |field: &str| format!("auth.jwt.keys[{index}].{field}");
        let id = config.kid.clone();
        if let Some(path) = &config.public_key_file {
            let place = place("public_key_file");
            let pem = read(path, &place)?;
            let key = SubjectPublicKeyInfoDer::from_pem_slice(&pem)
                .map_err(|_| "holds no public key in PEM (-----BEGIN PUBLIC KEY-----)".to_owned())
                .and_then(|der| {
                    let name = config.alg.name();
                    Self::public(config.alg, id, &der)
                        .map_err(|_| format!("holds no key that {name} can use"))
                });
            return key.map_err(|fault| TokenSetupError::Key {
                place,
                fault: format!("{} {fault}", path.display()),
            });
        }
        if let Some(path) = &config.secret_file {
            let place = place("secret_file");
            let secret = read(path, &place)?;
            let secret =
                secret.strip_suffix(b"\n").map_or(&*secret, |line| line.strip_suffix(b"\r").unwrap_or(line));
            let least = config.alg.secret_bytes_min();
            if secret.len() < least {
                let fault = format!(
                    "{} holds {} bytes, expected at least {least} for {}",
                    path.display(),
                    secret.len(),
                    config.alg.name()
                );
                return Err(TokenSetupError::Key { place, fault });
            }
            return Ok(Self::secret(config.alg, id, secret));
        }
        let secret = config.secret.as_ref().ok_or_else(|| TokenSetupError::Key {
            place: place("secret"),
            fault: "the key has neither a secret nor a file".to_owned(),
        })?;
        Ok(Self::secret(config.alg, id, secret.expose().as_bytes()))
    }

    /// A shared secret. `algorithm` is one of HMAC; any other is taken for HS256, which no token can then use.
    fn secret(algorithm: Algorithm, id: Option<String>, secret: &[u8]) -> Self {
        let hash = match algorithm {
            Algorithm::Hs384 => hmac::HMAC_SHA384,
            Algorithm::Hs512 => hmac::HMAC_SHA512,
            _ => hmac::HMAC_SHA256,
        };
        let material = Material::Secret(Box::new(hmac::Key::new(hash, secret)));
        Self { algorithm, id: id.map(Into::into), material }
    }

    /// A public key as a curve point, or in DER (X.509).
    pub(crate) fn public(
        algorithm: Algorithm,
        id: Option<String>,
        bytes: &[u8],
    ) -> Result<Self, KeyRejected> {
        let rejected = || KeyRejected::from(aws_lc_rs::error::Unspecified);
        let verification: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::Es256 => &asymmetric::ECDSA_P256_SHA256_FIXED,
            Algorithm::Es384 => &asymmetric::ECDSA_P384_SHA384_FIXED,
            Algorithm::EdDsa => &asymmetric::ED25519,
            rsa => rsa_parameters(rsa).ok_or_else(rejected)?,
        };
        let material = Material::Public(ParsedPublicKey::new(verification, bytes)?);
        Ok(Self { algorithm, id: id.map(Into::into), material })
    }

    /// An RSA key by modulus and exponent, big-endian.
    pub(crate) fn rsa(
        algorithm: Algorithm,
        id: Option<String>,
        n: &[u8],
        e: &[u8],
    ) -> Result<Self, KeyRejected> {
        let parameters = rsa_parameters(algorithm).ok_or(KeyRejected::from(aws_lc_rs::error::Unspecified))?;
        let material = Material::Public(RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters)?);
        Ok(Self { algorithm, id: id.map(Into::into), material })
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

/// Without the material.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &asymmetric::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &asymmetric::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &asymmetric::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &asymmetric::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &asymmetric::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &asymmetric::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn read(path: &Path, place: &str) -> Result<Vec<u8>, TokenSetupError> {
    fs::read(path).map_err(|source| TokenSetupError::File {
        place: place.to_owned(),
        path: path.to_path_buf(),
        source,
    })
}
