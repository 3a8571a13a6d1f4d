//! Layered, typed configuration: file (TOML), under environment (`TIDEGATE_SECTION__KEY`), under flags (`--set`).
//!
//! A program writes each key down once, in [`config_section!`](crate::config_section): documentation, type, default,
//! range. From there come the struct, the reading, `--print-config`, the reference page and the JSON schema. All
//! faults are found in one go, and each names its key, the place it was written at and what to write instead.
//!
//! Layering libraries (figment, config) were weighed: they merge values well, but report the first fault only, know
//! no column of a file's value after merging, and know nothing of units, ranges and documentation.
//!
//! Place in the path: [`load`] is the first call of `main`, before anything is bound.

mod checks;
#[doc(hidden)]
pub mod choice;
mod environment;
mod fault;
mod field;
mod layers;
mod leaf;
mod named;
mod outline;
mod printer;
mod reader;
mod reference;
mod schema;
mod secret;
mod section;
mod server_url;
mod source;
mod startup;
pub(crate) mod suggest;
#[cfg(test)]
mod tests;
mod tree;
mod units;

pub use serde_json::Value as JsonValue;

pub use self::checks::Checks;
pub use self::choice::Choice;
pub use self::environment::Environment;
pub use self::fault::{Fault, Mismatch};
pub use self::field::{Field, Named, Nested, Scalar, Tables};
pub use self::field::{bytes, computed, named, required, section, tables, value};
pub use self::leaf::{Leaf, Shown};
pub use self::outline::{KeyOutline, Outline};
pub use self::printer::Printer;
pub use self::reader::{Reader, Sources};
pub use self::secret::Secret;
pub use self::section::Section;
pub use self::server_url::ServerUrl;
pub use self::source::Source;
pub use self::startup::{Configuration, Loaded, Startup, load};
pub use self::tree::{Entry, Node, Table, Value};
pub use self::units::ByteCount;
