//! Log filters, checked more strictly than the library does: it takes a mistyped level for the name of a module.

use tracing_subscriber::filter::EnvFilter;

use crate::config::suggest::closest;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is wrong with a log filter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// A word that is neither a level nor `target=level`.
    #[error("`{word}` is not a level (off, error, warn, info, debug, trace) nor target=level{hint}")]
    Word {
        /// The word.
        word: String,
        /// "; did you mean …?", or nothing.
        hint: String,
    },
    /// The filter has no directive in it.
    #[error("the filter is empty; write a level such as `info`")]
    Empty,
    /// A directive of the right shape that cannot be understood.
    #[error("`{filter}` is not a log filter: {reason}")]
    Directive {
        /// The whole filter.
        filter: String,
        /// The library's reason.
        reason: String,
    },
    /// Logging has ended.
    #[error("logging has ended")]
    Gone,
}

/// Whether `filter` is a level (`info`) or a list of directives (`info,tidegate_gateway::net=trace`).
pub fn check_filter(filter: &str) -> Result<(), FilterError> {
    parse_filter(filter).map(|_| ())
}

pub(super) fn parse_filter(filter: &str) -> Result<EnvFilter, FilterError> {
    let filter = filter.trim();
    if filter.is_empty() {
        return Err(FilterError::Empty);
    }
    for word in filter.split(',') {
        let level = word.rsplit_once('=').map_or(word, |(_, level)| level).trim();
        // Levels are known in any case; `[span{field=value}]` is left to the library.
        let is_level = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        if !is_level && !word.contains(['[', ']']) {
            let hint = closest(&level.to_lowercase(), LEVELS.into_iter())
                .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
            return Err(FilterError::Word { word: word.to_owned(), hint });
        }
    }
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| FilterError::Directive { filter: filter.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken() {
        for filter in
            ["info", "DEBUG", " trace\n", "off", "warn,tidegate_gateway::net=trace", "net[conn]=debug"]
        {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn a_mistyped_level_is_refused_with_the_one_that_was_meant() {
        let message = |filter| check_filter(filter).unwrap_err().to_string();

        assert!(message("debgu").ends_with("did you mean `debug`?"), "{}", message("debgu"));
        assert!(
            message("info,net=trcae").ends_with("did you mean `trace`?"),
            "{}",
            message("info,net=trcae")
        );
        assert!(message("tidegate_gateway").contains("target=level"));
        assert_eq!(check_filter("  "), Err(FilterError::Empty));
        assert!(matches!(check_filter("info,[=debug"), Err(FilterError::Directive { .. })));
    }
}
