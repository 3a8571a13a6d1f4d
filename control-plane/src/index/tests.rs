//! What is known after events.
