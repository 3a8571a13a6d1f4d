//! What every implementation of the traits promises, as tests.
