//! Why a request head is refused.

/// One variant for each broken rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// The head exceeds `RequestLimits::bytes_max`.
    #[error("the request head is longer than {max} bytes")]
    HeadTooLarge {
        /// The limit in bytes.
        max: usize,
    },
}

impl RequestError {
    /// The status code to refuse with.
    pub fn status(&self) -> u16 {
        431
    }

    /// The label of this reason in metrics.
    pub fn name(&self) -> &'static str {
        "head_too_large"
    }
}
