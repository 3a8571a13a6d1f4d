//! Signs tokens for tests: with every algorithm, rightly and wrongly.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tidegate_service::config::{Choice, Secret};

use crate::config::auth::{Algorithm, Jwt, JwtKey};

/// A private key that signs with one algorithm.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    material: Material,
}

enum Material {
    Secret(Vec<u8>),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// A fresh key.
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let ecdsa = |curve| Material::Ecdsa(Box::new(EcdsaKeyPair::generate(curve).unwrap()));
        let material = match algorithm {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
                let mut secret = vec![0; 64];
                getrandom::fill(&mut secret).unwrap();
                Material::Secret(URL_SAFE_NO_PAD.encode(secret).into_bytes())
            }
            Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDsa => Material::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => Material::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        };
        Self { algorithm, key_id: None, material }
    }

    /// A shared secret of one's own choice.
    pub(crate) fn with_secret(algorithm: Algorithm, secret: &[u8]) -> Self {
        Self { algorithm, key_id: None, material: Material::Secret(secret.to_vec()) }
    }

    pub(crate) fn named(mut self, key_id: &str) -> Self {
        self.key_id = Some(key_id.to_owned());
        self
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(key_id) = &self.key_id {
            header["kid"] = json!(key_id);
        }
        self.sign_parts(&header.to_string(), &claims.to_string())
    }

    /// A token of these two texts, whatever they say.
    pub(crate) fn sign_parts(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.material {
            Material::Secret(secret) => {
                let hash = match self.algorithm {
                    Algorithm::Hs384 => hmac::HMAC_SHA384,
                    Algorithm::Hs512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
            Material::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = match self.algorithm {
                    Algorithm::Rs384 => &RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    Algorithm::Ps384 => &RSA_PSS_SHA384,
                    Algorithm::Ps512 => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Material::Ecdsa(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Material::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key in PEM.
    pub(crate) fn public_pem(&self) -> String {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};

        let der: PublicKeyX509Der<'_> = match &self.material {
            Material::Secret(_) => panic!("a secret has no public key"),
            Material::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Material::Ecdsa(pair) => pair.public_key().as_der().unwrap(),
            Material::Ed25519(pair) => pair.public_key().as_der().unwrap(),
        };
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    /// The public key as an entry of a key set, under the signer's name.
    pub(crate) fn public_jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.material {
            Material::Secret(secret) => json!({ "kty": "oct", "k": text(secret) }),
            Material::Rsa(pair) => {
                // Of 2048 bits with the usual exponent, so that everything in the key's DER has a fixed place: n of
                // 256 bytes, then e, which is 65537.
                let der = pair.public_key().as_ref();
                json!({ "kty": "RSA", "n": text(&der[9..265]), "e": text(&der[267..]) })
            }
            Material::Ecdsa(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": text(x), "y": text(y) })
            }
            Material::Ed25519(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref()) })
            }
        };
        jwk["alg"] = json!(self.algorithm.name());
        jwk["use"] = json!("sig");
        if let Some(key_id) = &self.key_id {
            jwk["kid"] = json!(key_id);
        }
        jwk
    }

    /// The key as `[[auth.jwt.keys]]` would have it; a public one lies in `folder`.
    pub(crate) fn config(&self, folder: &std::path::Path) -> JwtKey {
        let mut key = JwtKey {
            alg: self.algorithm,
            kid: self.key_id.clone(),
            secret: None,
            secret_file: None,
            public_key_file: None,
        };
        if let Material::Secret(secret) = &self.material {
            key.secret = Some(Secret::new(String::from_utf8(secret.clone()).unwrap()));
        } else {
            let path = folder.join(format!("{}.pem", self.algorithm.name()));
            std::fs::write(&path, self.public_pem()).unwrap();
            key.public_key_file = Some(path);
        }
        key
    }
}

/// `[auth.jwt]` with nothing but these keys.
pub(crate) fn jwt(keys: Vec<JwtKey>) -> Jwt {
    use std::time::Duration;

    Jwt {
        issuer: None,
        audience: Vec::new(),
        leeway: Duration::from_secs(30),
        query_parameter: None,
        keys,
        jwks_url: None,
        jwks_file: None,
        jwks_refresh: Duration::from_secs(600),
        jwks_timeout: Duration::from_secs(5),
        jwks_pause: Duration::from_secs(600),
    }
}
