//! Watches the certificate's files and exchanges the certificate when they change.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{self, MissedTickBehavior};

use super::certificate::Content;
use super::{Certificates, TlsFileError, TlsFiles};

/// Compares the files with what is loaded, now and then and on demand.
///
/// It compares contents, not times or inodes: a few KiB every ten seconds are cheap, and it holds for every way a file
/// can be replaced: rewritten in place, renamed over, or behind the double symbolic link by which Kubernetes updates a
/// mounted secret. Only a keyed hash of the content is kept.
#[derive(Debug)]
pub(crate) struct TlsReloader {
    files: TlsFiles,
    certificates: Arc<Certificates>,
    hasher: RandomState,
    /// Hash of what the last look found, usable or not; `None` where a file could not be read.
    seen: Option<u64>,
}

/// What a look at the files led to.
#[derive(Debug)]
pub(crate) enum ReloadOutcome {
    /// The files are as they were at the last look; a fault they had then was reported then.
    Unchanged,
    /// New handshakes get the new certificate.
    Reloaded,
    /// The new files have a fault; the old certificate stays.
    Failed(TlsFileError),
}

impl TlsReloader {
    /// Loads the pair for the first time and prepares to watch its files; any fault ends the start.
    pub(crate) fn load(files: TlsFiles) -> Result<(Arc<Certificates>, Self), TlsFileError> {
        let hasher = RandomState::new();
        let content = Content::read(&files)?;
        let seen = Some(hasher.hash_one(content.parts()));
        let certificates = Certificates::new(&files, content)?;
        Ok((Arc::clone(&certificates), Self { files, certificates, hasher, seen }))
    }

    /// Looks at the files every `interval` and whenever `on_demand` is notified; runs until it is dropped.
    pub(crate) async fn run(mut self, interval: Duration, on_demand: Arc<Notify>) {
        let mut ticks = time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = on_demand.notified() => {}
            }
            // File systems may hang (NFS, FUSE); a thread that is made for waiting takes that.
            let look = tokio::task::spawn_blocking(move || {
                let outcome = self.look();
                (self, outcome)
            });
            let Ok((reloader, outcome)) = look.await else { return };
            self = reloader;
            self.report(&outcome);
        }
    }

    /// Looks at the files once.
    pub(crate) fn look(&mut self) -> ReloadOutcome {
        let read = Content::read(&self.files);
        let hash = read.as_ref().ok().map(|content| self.hasher.hash_one(content.parts()));
        if self.seen == hash {
            return ReloadOutcome::Unchanged;
        }
        self.seen = hash;
        match read.and_then(|content| self.certificates.try_replace(&self.files, content)) {
            Ok(()) => ReloadOutcome::Reloaded,
            Err(fault) => {
                self.certificates.count_failure();
                ReloadOutcome::Failed(fault)
            }
        }
    }

    fn report(&self, outcome: &ReloadOutcome) {
        match outcome {
            ReloadOutcome::Unchanged => {}
            ReloadOutcome::Reloaded => tracing::info!(
                cert_file = %self.files.cert_file.display(),
                "certificate reloaded; new connections get it"
            ),
            ReloadOutcome::Failed(error) => tracing::error!(
                %error,
                "certificate not reloaded; the old one stays in use until the files are right"
            ),
        }
    }
}
