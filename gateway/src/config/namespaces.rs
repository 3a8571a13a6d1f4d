//! Sections `[namespaces.NAME]`: what channels keep, who may use them, and what happens to slow readers.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_service::config::{Checks, value};
use tidegate_service::{config_choice, config_section};

use super::auth::Hook;
use super::seconds;

config_section! {
    /// The channels `NAME:…`; those without colon belong to `default`. Channels of a namespace that has no section do
    /// not exist.
    pub struct Namespace {
        /// Publications kept of each channel, for clients that come back or come late; 0: none.
        pub history_size: u32 = value(0).within(0..=1_000_000);
        /// How long each of them is kept.
        pub history_ttl: Duration = value(seconds(300)).within(seconds(1)..=seconds(30 * 86_400));
        /// What a client that comes back gets: all it missed, or the newest publication only.
        pub recover: Recover = value(Recover::Stream);
        /// Whether subscribers may ask who else is there.
        pub presence: bool = value(false);
        /// Whether subscribers are told who comes and goes; needs `presence`.
        pub join_leave: bool = value(false);
        /// Which clients may subscribe, read history and presence. `user`: all but anonymous ones; `anyone`; `claim`:
        /// those whose token names the channel in its claim `tidegate`; `hook`: those that the hook agrees to; `nobody`.
        pub subscribe: Access = value(Access::User);
        /// Which clients may publish, in the same words. The server API may always.
        pub publish: Access = value(Access::User);
        /// What happens to a subscriber that does not read.
        pub slow_reader: SlowReaderPolicy = value(SlowReaderPolicy::Close);
    }
}

config_choice! {
    /// Which clients have a right.
    pub enum Access {
        /// Every one with a user: all but anonymous ones.
        User = "user",
        /// Every one, anonymous ones too.
        Anyone = "anyone",
        /// Those whose token names the channel in its claim `tidegate`.
        Claim = "claim",
        /// Those that the hook agrees to.
        Hook = "hook",
        /// None; only the server API.
        Nobody = "nobody",
    }
}

config_choice! {
    /// What a client that comes back gets of what it missed.
    pub enum Recover {
        /// All of it, in order, or word that this is impossible.
        Stream = "stream",
        /// The newest publication only: for channels where each replaces the one before.
        Latest = "latest",
    }
}

config_choice! {
    /// What happens to a subscriber that does not read.
    pub enum SlowReaderPolicy {
        /// Its connection is closed; it comes back and catches up from history.
        Close = "close",
        /// The oldest messages that wait for it are dropped, and it is told so.
        DropOldest = "drop_oldest",
        /// Of messages with the same `conflate` value only the newest waits for it, and it is told so.
        Conflate = "conflate",
    }
}

/// Reports every rule between the keys of `[namespaces]` that is broken.
pub(super) fn check(namespaces: &BTreeMap<String, Namespace>, hook: &Hook, checks: &mut Checks<'_>) {
    for (name, namespace) in namespaces {
        let key = |key: &str| format!("namespaces.{name}.{key}");
        if namespace.join_leave && !namespace.presence {
            checks.fault(
                &[&key("join_leave"), &key("presence")],
                "who comes and goes is known where presence is kept; switch it on too",
            );
        }
        let asked = [
            ("subscribe", namespace.subscribe, "auth.hook.subscribe_url", &hook.subscribe_url),
            ("publish", namespace.publish, "auth.hook.publish_url", &hook.publish_url),
        ];
        for (right, access, url_key, url) in asked {
            if access == Access::Hook && url.is_none() {
                checks.fault(&[&key(right), url_key], "there is no hook to ask; set its address");
            }
        }
    }
}
