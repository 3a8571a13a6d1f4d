//! The page `docs/control-plane-configuration.md`, made from the keys themselves.
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

const INTRODUCTION: &str = r#"# Configuration of the control plane

<!-- Generated from control-plane/src/config.rs by `make docs`. -->

A key's value comes from, in this order:

1. the flag `--set section.key=value`, which may be repeated;
2. the environment variable `TIDEGATE_SECTION__KEY`, for example `TIDEGATE_API__LISTEN=127.0.0.1:0`;
3. the TOML file named by `--config FILE`, else by the variable `TIDEGATE_CONFIG`;
4. the default.

`--check-config` ends with code 0, or with 64 and every fault on standard error; `--print-config` prints the effective
configuration as TOML, each value with its source, and leaves secrets out. Store and bus have the same keys and values as
those of the gateways: [configuration.md](configuration.md) says how values are written.
"#;
