//! Times and sizes as people write them: `500ms`, `16KiB`.

use std::time::Duration;

use bytesize::ByteSize;

/// No run is longer than this.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// Nor any message.
const SIZE_MAX: u64 = 64 << 20;

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("a time needs a unit: `{text}s`, `{text}ms`"));
    }
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > DURATION_MAX { Err("at most one day".to_owned()) } else { Ok(duration) }
}

pub(super) fn parse_bytes(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse()?;
    match size.as_u64() {
        bytes @ 0..=SIZE_MAX => Ok(usize::try_from(bytes).expect("64 MiB fits")),
        _ => Err(format!("at most {}", ByteSize(SIZE_MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit_and_have_a_bound() {
        assert_eq!(parse_duration("1500ms"), Ok(Duration::from_millis(1500)));
        assert!(parse_duration("5").unwrap_err().contains("`5s`"));
        assert!(parse_duration("2d").is_err());
    }

    #[test]
    fn sizes_may_have_a_unit_and_have_a_bound() {
        assert_eq!(parse_bytes("125"), Ok(125));
        assert_eq!(parse_bytes("16KiB"), Ok(16_384));
        assert!(parse_bytes("1GiB").is_err() && parse_bytes("x").is_err());
    }
}
