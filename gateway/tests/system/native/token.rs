//! Signs tokens, rightly and wrongly.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Why nothing here fails.
const MADE: &str = "a sound key pair, and random numbers to make it";

/// A key, and the algorithm it signs with.
pub(crate) struct Signer {
    algorithm: &'static str,
    key: Key,
}

enum Key {
    Secret(Vec<u8>),
    Rsa(Arc<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn secret(algorithm: &'static str, secret: &str) -> Self {
        Self { algorithm, key: Key::Secret(secret.as_bytes().to_vec()) }
    }

    /// A fresh key pair for one of the algorithms that have a public key.
    pub(crate) fn pair(algorithm: &'static str) -> Self {
        let ecdsa = |curve| Key::Ecdsa(Box::new(EcdsaKeyPair::generate(curve).expect(MADE)));
        let key = match algorithm {
            "ES256" => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "EdDSA" => Key::Ed25519(Ed25519KeyPair::generate().expect(MADE)),
            _ => Key::Rsa(Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).expect(MADE))),
        };
        Self { algorithm, key }
    }

    /// Fresh key pairs for all of these. Those for RSA are the same, since making one takes a second.
    pub(crate) fn pairs<const N: usize>(algorithms: [&'static str; N]) -> [Self; N] {
        let mut rsa = None;
        algorithms.map(|algorithm| {
            let signer = match &rsa {
                Some(rsa) if !algorithm.starts_with('E') => {
                    Self { algorithm, key: Key::Rsa(Arc::clone(rsa)) }
                }
                _ => Self::pair(algorithm),
            };
            if let Key::Rsa(made) = &signer.key {
                rsa = Some(Arc::clone(made));
            }
            signer
        })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with_header(&json!({ "alg": self.algorithm, "typ": "JWT" }), claims)
    }

    /// A token whose header says whatever it says.
    pub(crate) fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.signature(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The public key of `EdDSA` as an entry of a key set (RFC 8037, section 2).
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let Key::Ed25519(pair) = &self.key else { panic!("only for EdDSA") };
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x })
    }

    /// A token that names its key.
    pub(crate) fn sign_as(&self, kid: &str, claims: &Value) -> String {
        self.sign_with_header(&json!({ "alg": self.algorithm, "typ": "JWT", "kid": kid }), claims)
    }

    /// The public key in PEM.
    pub(crate) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match &self.key {
            Key::Secret(_) => panic!("a secret has no public key"),
            Key::Rsa(pair) => pair.public_key().as_der().expect(MADE),
            Key::Ecdsa(pair) => pair.public_key().as_der().expect(MADE),
            Key::Ed25519(pair) => pair.public_key().as_der().expect(MADE),
        };
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.key {
            Key::Secret(secret) => {
                let hash = match self.algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
            Key::Rsa(pair) => {
                let encoding: &'static dyn signature::RsaEncoding = match self.algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut signature).expect(MADE);
                signature
            }
            Key::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).expect(MADE).as_ref().to_vec(),
            Key::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}
