//! Tokens of `[[auth.tokens]]`, kept and compared as hashes, and read again from their files while the program runs.
//!
//! Comparing takes the same time whatever a token has in common with a right one, and whichever of them it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

use super::config::{AuthToken, Role};
use crate::http::metrics::ApiMetrics;

/// Shortest token in bytes: 16 random ones are out of reach of guessing.
pub(super) const TOKEN_BYTES_MIN: usize = 16;

/// Longest token file that is read.
const FILE_BYTES_MAX: u64 = 8 << 10;

/// How often token files are read again. Kubernetes takes about a minute to change a mounted Secret.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// All tokens that are known.
#[derive(Debug)]
pub(super) struct Tokens {
    config: Box<[AuthToken]>,
    known: ArcSwap<Vec<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    name: Arc<str>,
    role: Role,
    digest: Digest,
}

/// A token of the configuration cannot be used. Names its place, never its content.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Its file cannot be read.
    #[error("{place}: {} cannot be read: {source}", path.display())]
    File {
        /// The key.
        place: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too easily guessed.
    #[error("{place}: found {bytes} bytes, expected at least {TOKEN_BYTES_MIN}")]
    Short {
        /// The key.
        place: String,
        /// Its length.
        bytes: usize,
    },
    /// Two names have the same token: nobody could tell who it was.
    #[error("{place}: the same token as that of {other:?}")]
    Twice {
        /// The key.
        place: String,
        /// The other's name.
        other: Arc<str>,
    },
}

impl Tokens {
    /// Reads every token.
    pub(super) fn read(config: &[AuthToken]) -> Result<Self, TokenError> {
        Ok(Self { config: config.into(), known: ArcSwap::from_pointee(known(config)?) })
    }

    /// Whose token was presented. All are compared, also after one fits.
    pub(super) fn find(&self, presented: &str) -> Option<(Arc<str>, Role)> {
        let presented = digest(&SHA256, presented.as_bytes());
        let mut found = None;
        for token in self.known.load().iter() {
            if verify_slices_are_equal(token.digest.as_ref(), presented.as_ref()).is_ok() {
                found = Some((Arc::clone(&token.name), token.role));
            }
        }
        found
    }

    /// Reads the files again, each few seconds, for ever. While one cannot be used, all tokens stay as they were.
    pub(super) async fn keep_fresh(&self, metrics: &ApiMetrics) {
        if self.config.iter().all(|token| token.token_file.is_none()) {
            return std::future::pending().await;
        }
        let mut told = None::<String>;
        loop {
            tokio::time::sleep(RELOAD_INTERVAL).await;
            let config = self.config.clone();
            let read = tokio::task::spawn_blocking(move || known(&config)).await;
            match read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
                Ok(known) => {
                    told = None;
                    self.replace(known);
                }
                Err(error) => {
                    metrics.count_reload_failure();
                    // Once for each cause, not each few seconds.
                    let error = error.to_string();
                    if told.as_ref() != Some(&error) {
                        tracing::warn!(error, "token files cannot be used; the tokens stay as they were");
                        told = Some(error);
                    }
                }
            }
        }
    }

    fn replace(&self, known: Vec<Known>) {
        let before = self.known.load();
        let is_same = before.len() == known.len()
            && before.iter().zip(&known).all(|(old, new)| old.digest.as_ref() == new.digest.as_ref());
        if !is_same {
            tracing::info!(target: "audit", tokens = known.len(), "token files have changed");
            self.known.store(Arc::new(known));
        }
    }
}

fn known(config: &[AuthToken]) -> Result<Vec<Known>, TokenError> {
    let mut known: Vec<Known> = Vec::with_capacity(config.len());
    for (index, token) in config.iter().enumerate() {
        let place = format!("auth.tokens[{index}]");
        let digest = token_digest(token, &place)?;
        if let Some(other) = known.iter().find(|other| other.digest.as_ref() == digest.as_ref()) {
            return Err(TokenError::Twice { place, other: Arc::clone(&other.name) });
        }
        known.push(Known { name: token.name.as_str().into(), role: token.role, digest });
    }
    Ok(known)
}

fn token_digest(token: &AuthToken, place: &str) -> Result<Digest, TokenError> {
    let (text, field) = match (&token.token_file, &token.token) {
        (Some(path), _) => (read_file(path, place)?, "token_file"),
        (None, Some(secret)) => (secret.expose().to_owned(), "token"),
        (None, None) => (String::new(), "token"),
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.len() < TOKEN_BYTES_MIN {
        return Err(TokenError::Short { place: format!("{place}.{field}"), bytes: text.len() });
    }
    Ok(digest(&SHA256, text.as_bytes()))
}

fn read_file(path: &Path, place: &str) -> Result<String, TokenError> {
    use std::io::Read;

    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text).map(|_bytes| ()));
    read.map(|()| text).map_err(|source| TokenError::File {
        place: format!("{place}.token_file"),
        path: path.to_path_buf(),
        source,
    })
}
