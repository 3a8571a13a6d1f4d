//! Durations in JSON: a number of seconds, or a number with a unit (`"90s"`, `"500ms"`, `"8m"`, `"1h"`).

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Longer than any drain: what is above it is a mistake.
const SECONDS_MAX: f64 = 30.0 * 86_400.0;

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match (duration.subsec_nanos(), duration.as_secs()) {
        (0, whole) => serializer.serialize_u64(whole),
        _ => serializer.serialize_f64(duration.as_secs_f64()),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(SecondsVisitor)
}

/// The same for what may be missing or null.
pub(super) mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    struct Seconds(Duration);

    impl<'de> Deserialize<'de> for Seconds {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            super::deserialize(deserializer).map(Self)
        }
    }

    pub(in super::super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|seconds| seconds.0))
    }
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration: a number of seconds, or a text such as \"90s\", \"500ms\", \"8m\" or \"1h\"")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Duration, E> {
        #[expect(clippy::cast_precision_loss, reason = "numbers that large are refused")]
        self.visit_f64(seconds as f64)
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<Duration, E> {
        #[expect(clippy::cast_precision_loss, reason = "numbers that large are refused")]
        self.visit_f64(seconds as f64)
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<Duration, E> {
        if (0.0..=SECONDS_MAX).contains(&seconds) {
            return Ok(Duration::from_secs_f64(seconds));
        }
        Err(E::custom("a duration has 0 seconds to 30 days"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = match &text[number.len()..] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        };
        let count: f64 =
            number.trim().parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))?;
        self.visit_f64(count * unit)
    }
}
