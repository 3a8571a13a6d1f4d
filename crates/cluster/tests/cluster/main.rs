//! The traits of this crate over real servers, which are child processes of these tests.

mod nats_access;
mod nats_bus;
mod nats_ends;
mod nats_faults;
mod redis_budget;
mod redis_client;
mod redis_cost;
mod redis_directory;
mod redis_documents;
mod redis_history;
mod redis_history_faults;
mod redis_leadership;
mod redis_order;
mod redis_presence;
mod redis_sessions;
mod redis_sticky;
mod redis_store_cost;
mod redis_store_faults;
mod redis_stores;
