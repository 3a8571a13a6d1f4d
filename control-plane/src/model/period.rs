//! A length of time as people write it: `"90s"`, `"8m"`, or a number of seconds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// A length of time. Read from `"90s"`, `"1m 30s"`, `"90"`, `90` or `90.5`; written as `"1m 30s"`. At most [`Period::MAX`].
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Period(Duration);

/// Text that is no [`Period`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a time such as \"90s\", \"8m\" or 90 (seconds), at most 30 days")]
pub struct PeriodError;

impl Period {
    /// No time.
    pub const ZERO: Self = Self(Duration::ZERO);
    /// 30 days: as long as the record of an operation is kept.
    pub const MAX: Self = Self::from_secs(30 * 24 * 3600);

    /// So many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        self.0.as_secs_f64()
    }

    fn checked(duration: Duration) -> Result<Self, PeriodError> {
        let period = Self(duration);
        if period <= Self::MAX { Ok(period) } else { Err(PeriodError) }
    }

    fn of_seconds(seconds: f64) -> Result<Self, PeriodError> {
        Duration::try_from_secs_f64(seconds).map_err(|_| PeriodError).and_then(Self::checked)
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Self {
        period.0
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        if let Ok(seconds) = text.parse() {
            return Self::of_seconds(seconds);
        }
        humantime::parse_duration(text).map_err(|_| PeriodError).and_then(Self::checked)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PeriodVisitor)
    }
}

struct PeriodVisitor;

impl Visitor<'_> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"90s\", \"8m\" or 90 (seconds)")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Period, E> {
        Period::checked(Duration::from_secs(seconds)).map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Period, E> {
        Period::of_seconds(seconds).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
        text.parse().map_err(E::custom)
    }
}

impl PartialSchema for Period {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A time such as \"90s\" or \"8m\"; a number of seconds is read too."))
            .examples(["90s"])
            .into()
    }
}

impl ToSchema for Period {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Period")
    }
}
