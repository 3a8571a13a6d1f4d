//! Bodies that people send.
