//! The traits of this crate over real servers, which are child processes of these tests.

mod redis_budget;
mod redis_directory;
mod redis_history;
mod redis_presence;
mod redis_sessions;
mod redis_sticky;
mod redis_stores;
