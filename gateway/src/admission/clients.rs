//! Who a client is: by token, by key, by what the hook says, or nobody in particular.
//!
//! Place in the data path: asked at `connect` and `refresh`, and at the handshake where the request carries credentials.
//! What can be judged here is judged at once; what needs the identity provider or the hook comes later.

use std::net::IpAddr;
use std::sync::Arc;

use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::error::{ErrorBody, ErrorCode};
use tidegate_protocol::id::SessionId;
use tidegate_protocol::json::RawJson;
use tidegate_protocol::time::Millis;

use super::api_key::{ClientKeys, KeySetupError, KeyStats};
use super::hook::{Allowed, ChannelAsk, ConnectAsk, Hook, Question};
use super::jwks::{Keys, KeysError};
use super::outgoing::{Client, ClientSetupError};
use super::token::{TokenError, TokenSetupError, TokenStats, VerifiedToken, Verifier};
use crate::broker::Grants;
use crate::broker::outcome::{Later, Outcome};
use crate::config::auth::Auth;

/// All ways to prove who one is. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Clients {
    anonymous: bool,
    /// What all clients without a token share.
    nobody: Arc<Grants>,
    verifier: Arc<Verifier>,
    keys: ClientKeys,
    published: Option<Arc<Keys>>,
    hook: Arc<Hook>,
}

/// A part of `[auth]` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientsError {
    #[error(transparent)]
    Outgoing(#[from] ClientSetupError),
    #[error("auth.jwt.jwks_file: {0}")]
    Jwks(#[from] KeysError),
    #[error(transparent)]
    Token(#[from] TokenSetupError),
    #[error(transparent)]
    Key(#[from] KeySetupError),
}

impl Clients {
    /// Reads keys and certificate authorities.
    ///
    /// # Errors
    ///
    /// [`ClientsError`] names the key of the configuration.
    pub(crate) fn new(config: &Auth) -> Result<Self, ClientsError> {
        let hook = &config.hook;
        let urls: Vec<&str> =
            [&config.jwt.jwks_url, &hook.connect_url, &hook.subscribe_url, &hook.publish_url]
                .into_iter()
                .filter_map(Option::as_deref)
                .collect();
        let client = Client::new(config.ca_file.as_deref(), &urls)?;
        let published = Keys::from_config(&config.jwt, &client)?;
        Ok(Self {
            anonymous: config.anonymous,
            nobody: Arc::default(),
            verifier: Arc::new(Verifier::new(&config.jwt, published.clone())?),
            keys: ClientKeys::from_config(&config.api_keys)?,
            published,
            hook: Hook::new(hook, client),
        })
    }

    /// The key set that has to be kept fresh, if there is one.
    pub(crate) fn published_keys(&self) -> Option<Arc<Keys>> {
        self.published.clone()
    }

    pub(crate) fn token_stats(&self) -> &TokenStats {
        self.verifier.stats()
    }

    pub(crate) fn key_stats(&self) -> &KeyStats {
        self.keys.stats()
    }

    pub(crate) fn hook(&self) -> &Hook {
        &self.hook
    }

    /// Looks at credentials that came with the handshake, as far as that needs nobody else.
    ///
    /// # Errors
    ///
    /// `unauthorized` where they are certainly not good.
    pub(crate) fn check_at_the_door(&self, token: &str, now: Millis) -> Result<(), ErrorBody> {
        match self.judge(Some(token), now) {
            Ok(_) | Err(Doubt::NeedKeys) => Ok(()),
            Err(Doubt::Refused(_)) if self.hook.decides_connects() => Ok(()),
            Err(Doubt::Refused(error)) => Err(error),
        }
    }

    /// Finds out who a client is that shows `token`, or nothing.
    pub(crate) fn authenticate(
        &self,
        token: Option<&str>,
        address: IpAddr,
        now: Millis,
    ) -> Outcome<Result<Arc<Grants>, ErrorBody>> {
        let judged = self.judge(token, now);
        if self.hook.decides_connects() {
            return self.ask_hook(token, judged.ok().as_deref(), address, now);
        }
        match judged {
            Ok(grants) => Outcome::Now(Ok(grants)),
            Err(Doubt::Refused(error)) => Outcome::Now(Err(error)),
            Err(Doubt::NeedKeys) => {
                let (verifier, token) = (Arc::clone(&self.verifier), token.unwrap_or_default().to_owned());
                Outcome::Later(Box::pin(async move {
                    let verified = verifier.verify_with_new_keys(&token, now).await;
                    verified.map(|token| Arc::new(token.into())).map_err(|error| error.body())
                }))
            }
        }
    }

    fn judge(&self, token: Option<&str>, now: Millis) -> Result<Arc<Grants>, Doubt> {
        let Some(token) = token else {
            if self.anonymous {
                return Ok(Arc::clone(&self.nobody));
            }
            let message = "this gateway takes no anonymous clients: send a token with connect";
            return Err(Doubt::Refused(ErrorBody::new(ErrorCode::Unauthorized, message)));
        };
        if let Some(known) = self.keys.find(token) {
            let grant = known.grant();
            let (user, permissions) = (Arc::clone(&grant.user), grant.permissions.clone());
            return Ok(Arc::new(Grants { user, permissions, ..Grants::default() }));
        }
        match self.verifier.verify(token, now) {
            Ok(verified) => Ok(Arc::new(verified.into())),
            Err(TokenError::NeedKeys) => Err(Doubt::NeedKeys),
            Err(error) => Err(Doubt::Refused(error.body())),
        }
    }

    /// The hook has the last word. It is told the user of credentials that are good, and gets others as they came.
    fn ask_hook(
        &self,
        token: Option<&str>,
        judged: Option<&Grants>,
        address: IpAddr,
        now: Millis,
    ) -> Outcome<Result<Arc<Grants>, ErrorBody>> {
        let user = judged.map(|grants| &*grants.user).filter(|user| !user.is_empty());
        let token = token.filter(|_| user.is_none());
        let question = Question::connect(&ConnectAsk { token, user, address, info: None });
        let hook = Arc::clone(&self.hook);
        Outcome::Later(Box::pin(async move {
            match hook.ask(question, now).await {
                Ok(Allowed::Connect(verified)) => Ok(Arc::new((*verified).into())),
                Ok(Allowed::Channel) => {
                    Err(ErrorBody::new(ErrorCode::Internal, "the hook answered another question"))
                }
                Err(error) => Err(error.body("connect")),
            }
        }))
    }

    /// Asks the hook whether a session may subscribe.
    pub(crate) fn may_subscribe(
        &self,
        user: &str,
        session: SessionId,
        channel: &ChannelName,
        now: Millis,
    ) -> Later<Result<(), ErrorBody>> {
        let ask = ChannelAsk { channel: channel.as_str(), user, session };
        self.ask_about_channel(Question::subscribe(ask), format!("subscribe to {channel}"), now)
    }

    /// Asks the hook whether a session may publish this.
    pub(crate) fn may_publish(
        &self,
        user: &str,
        session: SessionId,
        channel: &ChannelName,
        data: RawJson<'_>,
        now: Millis,
    ) -> Later<Result<(), ErrorBody>> {
        let ask = ChannelAsk { channel: channel.as_str(), user, session };
        self.ask_about_channel(Question::publish(ask, data), format!("publish on {channel}"), now)
    }

    fn ask_about_channel(
        &self,
        question: Question,
        doing: String,
        now: Millis,
    ) -> Later<Result<(), ErrorBody>> {
        let hook = Arc::clone(&self.hook);
        Box::pin(async move {
            match hook.ask(question, now).await {
                Ok(Allowed::Channel | Allowed::Connect(_)) => Ok(()),
                Err(error) => Err(error.body(&doing)),
            }
        })
    }
}

/// Why it is not clear who a client is.
enum Doubt {
    Refused(ErrorBody),
    /// The provider may have published the token's key since its keys were read.
    NeedKeys,
}

impl From<VerifiedToken> for Grants {
    fn from(token: VerifiedToken) -> Self {
        let VerifiedToken { user, expires_at, token_id, permissions, channels, info, .. } = token;
        Self { user, permissions, token_id, expires_at, channels, info, trace: None }
    }
}
