//! The page `docs/configuration.md`, made from the keys themselves.
//!
//! Compiled for tests only: one of them writes the page (`make docs`) and fails when it is stale.

use tidegate_service::config::Outline;
use tidegate_service::lifecycle::Exit;

use super::Config;

impl Config {
    /// The whole page.
    pub(crate) fn reference() -> String {
        let keys = Outline::of::<Self>().reference();
        format!("{INTRODUCTION}\n{keys}\n## Exit codes\n\n{}", Exit::reference())
    }
}

const INTRODUCTION: &str = r#"# Configuration of the gateway

<!-- Generated from gateway/src/config.rs by `make docs`. -->

Without any configuration the gateway starts on the defaults below. A key's value comes from, in this order:

1. the flag `--set section.key=value`, which may be repeated;
2. the environment variable `TIDEGATE_SECTION__KEY`, for example `TIDEGATE_CLIENT__LISTEN=127.0.0.1:0`;
3. the TOML file named by `--config FILE`, else by the variable `TIDEGATE_CONFIG`;
4. the default.

`--check-config` ends with code 0, or with 64 and every fault on standard error, each with its key, the place it was
written at and what to write instead. `--print-config` prints the effective configuration as TOML, each value with its
source; secrets are left out. A faulty configuration ends the gateway with code 64 before it binds a port.

Durations carry a unit (`"500ms"`, `"30s"`, `"2m"`), sizes may (`"64KiB"`, `"1MB"`; a bare number counts bytes). In a
variable or flag a list is comma separated, and an empty variable leaves an optional key unset. An unknown key or
variable is a fault; variables that Kubernetes makes for Services (`TIDEGATE_…_SERVICE_HOST` and the like) are ignored.
"#;
