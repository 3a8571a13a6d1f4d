//! Who may subscribe to a channel or publish on it: the rules of its namespace, and what the token allows.
//!
//! Place in the data path: asked for each subscribe and publish of a client, before the hub, history or bus hear of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidegate_protocol::channel::{ChannelPattern, namespace_of};
use tidegate_protocol::error::{ErrorBody, ErrorCode};

use crate::config::namespaces::{Access, Namespace};

/// What a token or key allows in namespaces that ask for a claim.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Permissions {
    pub(crate) subscribe: Box<[ChannelPattern]>,
    pub(crate) publish: Box<[ChannelPattern]>,
}

/// The configured namespaces. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Namespaces(HashMap<Box<str>, Arc<Namespace>>);

/// Who wants to do something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// Empty for an anonymous session.
    pub(crate) user: &'a str,
    pub(crate) permissions: &'a Permissions,
}

/// The rules let it pass.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) enum Granted<'n> {
    /// Go on.
    Now(&'n Arc<Namespace>),
    /// Go on if the hook agrees.
    IfHookAgrees,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Right {
    Subscribe,
    Publish,
}

impl Namespaces {
    pub(crate) fn new(config: &BTreeMap<String, Namespace>) -> Self {
        let shared =
            |(name, namespace): (&String, &Namespace)| (name.as_str().into(), Arc::new(namespace.clone()));
        Self(config.iter().map(shared).collect())
    }

    /// The namespace that `channel` belongs to.
    pub(crate) fn of(&self, channel: &str) -> Result<&Arc<Namespace>, ErrorBody> {
        let name = namespace_of(channel);
        self.0.get(name).ok_or_else(|| {
            let message = format!("channel {channel} does not exist: there is no namespace {name}");
            ErrorBody::new(ErrorCode::UnknownChannel, message)
        })
    }

    /// Whether `asker` may subscribe to `channel`, and so read its history and presence.
    pub(crate) fn may_subscribe(&self, channel: &str, asker: Asker<'_>) -> Result<Granted<'_>, ErrorBody> {
        let namespace = self.of(channel)?;
        let access = namespace.subscribe;
        judge(Right::Subscribe, access, namespace, channel, asker)
    }

    /// Whether `asker` may publish on `channel`.
    pub(crate) fn may_publish(&self, channel: &str, asker: Asker<'_>) -> Result<Granted<'_>, ErrorBody> {
        let namespace = self.of(channel)?;
        let access = namespace.publish;
        judge(Right::Publish, access, namespace, channel, asker)
    }
}

fn judge<'n>(
    right: Right,
    access: Access,
    namespace: &'n Arc<Namespace>,
    channel: &str,
    asker: Asker<'_>,
) -> Result<Granted<'n>, ErrorBody> {
    let claimed = || match right {
        Right::Subscribe => &asker.permissions.subscribe,
        Right::Publish => &asker.permissions.publish,
    };
    match access {
        Access::Anyone => Ok(Granted::Now(namespace)),
        Access::User if !asker.user.is_empty() => Ok(Granted::Now(namespace)),
        Access::Claim if claimed().iter().any(|pattern| pattern.matches(channel)) => {
            Ok(Granted::Now(namespace))
        }
        Access::Hook => Ok(Granted::IfHookAgrees),
        Access::User => Err(refusal(right, channel, "a user; this session is anonymous")),
        Access::Claim => Err(refusal(
            right,
            channel,
            match right {
                Right::Subscribe => "a token whose claim tidegate.subscribe covers it",
                Right::Publish => "a token whose claim tidegate.publish covers it",
            },
        )),
        Access::Nobody => Err(refusal(right, channel, "the server API; no client may")),
    }
}

fn refusal(right: Right, channel: &str, needed: &str) -> ErrorBody {
    let doing = match right {
        Right::Subscribe => "subscribe to",
        Right::Publish => "publish on",
    };
    ErrorBody::new(ErrorCode::Forbidden, format!("{doing} {channel} needs {needed}"))
}

#[cfg(test)]
mod tests {
    use tidegate_service::config::{Startup, load};

    use super::*;
    use crate::config::Config;

    fn namespaces(settings: &[&str]) -> Namespaces {
        let flags = settings.iter().flat_map(|setting| ["--set", *setting]);
        match load::<Config>(["gateway"].into_iter().chain(flags).map(Into::into), []) {
            Startup::Run(loaded) => Namespaces::new(&loaded.config.namespaces),
            Startup::Exit { stderr, .. } => panic!("{stderr}"),
        }
    }

    fn permissions(subscribe: &[&str], publish: &[&str]) -> Permissions {
        let patterns =
            |texts: &[&str]| texts.iter().map(|text| ChannelPattern::parse(text).unwrap()).collect();
        Permissions { subscribe: patterns(subscribe), publish: patterns(publish) }
    }

    #[test]
    fn without_configuration_users_have_the_default_namespace_and_anonymous_ones_nothing() {
        let namespaces = namespaces(&[]);
        let permissions = Permissions::default();
        let user = Asker { user: "ann", permissions: &permissions };
        let nobody = Asker { user: "", permissions: &permissions };

        assert!(matches!(namespaces.may_subscribe("lobby", user), Ok(Granted::Now(_))));
        assert!(matches!(namespaces.may_publish("default:lobby", user), Ok(Granted::Now(_))));
        let refused = namespaces.may_publish("lobby", nobody).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
        assert_eq!(refused.message, "publish on lobby needs a user; this session is anonymous");
    }

    #[test]
    fn a_channel_of_an_unknown_namespace_does_not_exist() {
        let permissions = permissions(&["*"], &["*"]);
        let asker = Asker { user: "ann", permissions: &permissions };

        let error = namespaces(&[]).may_subscribe("chat:1", asker).unwrap_err();

        assert_eq!(error.code, ErrorCode::UnknownChannel);
        assert_eq!(error.message, "channel chat:1 does not exist: there is no namespace chat");
    }

    #[test]
    fn a_claim_covers_what_its_patterns_match_and_each_right_has_its_own() {
        let namespaces = namespaces(&["namespaces.chat.subscribe=claim", "namespaces.chat.publish=claim"]);
        let permissions = permissions(&["chat:room-*"], &["chat:room-1"]);
        let asker = Asker { user: "ann", permissions: &permissions };

        assert!(namespaces.may_subscribe("chat:room-1", asker).is_ok());
        assert!(namespaces.may_subscribe("chat:room-2", asker).is_ok());
        assert!(namespaces.may_publish("chat:room-1", asker).is_ok());
        let error = namespaces.may_publish("chat:room-2", asker).unwrap_err();
        assert_eq!(
            error.message,
            "publish on chat:room-2 needs a token whose claim tidegate.publish covers it"
        );
        assert!(namespaces.may_subscribe("chat:hall", asker).is_err());
    }

    #[test]
    fn what_nobody_may_no_claim_allows() {
        let namespaces = namespaces(&["namespaces.news.publish=nobody", "namespaces.news.subscribe=anyone"]);
        let permissions = permissions(&["*"], &["*"]);
        let asker = Asker { user: "", permissions: &permissions };

        let Ok(Granted::Now(news)) = namespaces.may_subscribe("news:1", asker) else { panic!("anyone may") };
        assert_eq!(news.publish, Access::Nobody, "it comes with its namespace");
        let error = namespaces.may_publish("news:1", asker).unwrap_err();
        assert_eq!(error.message, "publish on news:1 needs the server API; no client may");
    }

    #[test]
    fn where_the_hook_decides_it_is_asked() {
        let namespaces =
            namespaces(&["namespaces.game.subscribe=hook", "auth.hook.subscribe_url=http://127.0.0.1:1/ask"]);
        let permissions = Permissions::default();
        let asker = Asker { user: "", permissions: &permissions };

        assert!(matches!(namespaces.may_subscribe("game:1", asker), Ok(Granted::IfHookAgrees)));
    }
}
