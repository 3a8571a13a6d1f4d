//! The audit: one line in the log, with the target `audit`, for every change that was asked for, granted or not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Shared;
use super::auth::Caller;
use super::call::{Call, Effect};

/// What a handler notes about a change for the audit. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Arc<Mutex<Noted>>);

#[derive(Clone, Debug, Default)]
struct Noted {
    subject: Option<String>,
    reason: Option<String>,
}

/// How a change ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended<'a> {
    /// The status; 0: the caller left before the answer.
    pub(super) status: u16,
    /// The problem's code.
    pub(super) code: Option<&'a str>,
}

impl Notes {
    /// Notes about what the path names.
    pub(super) fn about(subject: Option<String>) -> Self {
        Self(Arc::new(Mutex::new(Noted { subject, reason: None })))
    }

    /// Which operation it is about, where the path does not name it.
    pub(super) fn subject(&self, subject: &str) {
        self.noted(|noted| noted.subject = Some(subject.to_owned()));
    }

    /// Why, in the caller's words.
    pub(super) fn reason(&self, reason: Option<&str>) {
        self.noted(|noted| noted.reason = reason.map(str::to_owned));
    }

    fn noted<T>(&self, note: impl FnOnce(&mut Noted) -> T) -> T {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes the line, where the call is one that changes something.
    pub(super) fn write(&self, call: Call, caller: Option<&Caller>, from: SocketAddr, ended: Ended<'_>) {
        if call.row().effect == Effect::Looks {
            return;
        }
        let Noted { subject, reason } = self.noted(|noted| noted.clone());
        tracing::info!(
            target: "audit",
            who = caller.map_or("", |caller| &caller.name),
            role = caller.map(|caller| tracing::field::display(caller.role)),
            what = call.row().name,
            subject,
            %from,
            reason,
            result = ended.result(),
            status = ended.status,
            code = ended.code,
            "a change was asked for"
        );
    }
}

impl Ended<'_> {
    const fn result(self) -> &'static str {
        match self.status {
            0 => "unknown",
            201 => "created",
            401 | 403 => "denied",
            400..=499 => "refused",
            500.. => "failed",
            _ => "done",
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Notes {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
