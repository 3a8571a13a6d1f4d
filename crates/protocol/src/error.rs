//! How a command is refused: a word for programs, a sentence for people, and when to try again.
//!
//! The same words are used by the client dialect and by the server API (RFC 9457 problems).

use std::borrow::Cow;
use std::fmt;

/// What kind of refusal it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ErrorCode {
    /// The command breaks a rule of the dialect; the same one will be refused again.
    BadRequest,
    /// No or no valid credentials.
    Unauthorized,
    /// The credentials are good, the right is missing.
    Forbidden,
    /// The command needs a subscription that there is none of.
    NotSubscribed,
    /// There is such a subscription already.
    AlreadySubscribed,
    /// No namespace is configured for this channel, or there is no such channel.
    UnknownChannel,
    /// More than is allowed, at once or in this time.
    Limit,
    /// Larger than is allowed.
    TooLarge,
    /// Something the command needs is out of reach at the moment.
    Unavailable,
    /// It contradicts something that was done before.
    Conflict,
    /// Our own fault.
    Internal,
}

/// The body of an error reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorBody {
    /// The kind.
    pub code: ErrorCode,
    /// What is wrong, where, and what to do: for a person. Holds no secrets.
    pub message: Cow<'static, str>,
    /// When to send the same again, in milliseconds from now; `None`: not known, or never.
    pub retry_after_ms: Option<u64>,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotSubscribed,
        Self::AlreadySubscribed,
        Self::UnknownChannel,
        Self::Limit,
        Self::TooLarge,
        Self::Unavailable,
        Self::Conflict,
        Self::Internal,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotSubscribed => "not_subscribed",
            Self::AlreadySubscribed => "already_subscribed",
            Self::UnknownChannel => "unknown_channel",
            Self::Limit => "limit",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Internal => "internal",
        }
    }

    /// The code that `word` stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// The status of the server API's answer.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::UnknownChannel => 404,
            Self::NotSubscribed | Self::AlreadySubscribed | Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Limit => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// Whether the same command may succeed later without anyone doing something about it.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Unavailable)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl ErrorBody {
    /// An error that names no time to come back.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    /// The same, to be tried again after `ms` milliseconds.
    #[must_use]
    pub fn retry_after_ms(self, ms: u64) -> Self {
        Self { retry_after_ms: Some(ms), ..self }
    }

    /// `retry` on the wire: the code says so, or a time to come back is known.
    pub const fn is_retryable(&self) -> bool {
        self.code.is_retryable() || self.retry_after_ms.is_some()
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ErrorBody {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_no_other_is() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(code));
        }
        assert_eq!(ErrorCode::parse("Forbidden"), None);
    }

    #[test]
    fn a_known_time_to_come_back_makes_any_error_retryable() {
        let limit = ErrorBody::new(ErrorCode::Limit, "too many messages");

        assert!(!limit.is_retryable());
        assert!(limit.retry_after_ms(250).is_retryable());
        assert!(ErrorBody::new(ErrorCode::Unavailable, "the store is away").is_retryable());
    }
}
