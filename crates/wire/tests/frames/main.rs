//! Frames from outside: each rule at its edge, and properties over generated streams.

mod allocation;
mod close;
mod compressed;
mod differential;
mod fragments;
mod limits;
mod peer;
mod properties;
mod rules;
mod states;
mod streams;
mod text;
