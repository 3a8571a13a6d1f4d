//! The calls of the server API: one table for the guard, the metrics and the check of the description.

use crate::config::api::Right;

/// Something that can be asked for on the API port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Call {
    /// `POST /v1/publish`
    Publish,
    /// `POST /v1/broadcast`
    Broadcast,
    /// `POST /v1/batch`
    Batch,
    /// `POST /v1/send`
    Send,
    /// `POST /v1/subscribe`
    Subscribe,
    /// `POST /v1/unsubscribe`
    Unsubscribe,
    /// `POST /v1/disconnect`
    Disconnect,
    /// `GET /v1/channels`
    Channels,
    /// `GET /v1/channels/{channel}`
    Channel,
    /// `GET /v1/channels/{channel}/presence`
    Presence,
    /// `GET /v1/channels/{channel}/history`
    History,
    /// `GET /v1/sessions`
    Sessions,
    /// `GET /v1/sessions/{session}`
    Session,
    /// `GET /v1/nodes`
    Nodes,
    /// `GET /openapi.json` and `GET /docs`
    Docs,
    /// Any other path.
    Other,
}

/// What the table says of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallRow {
    /// The metric label and log field.
    pub name: &'static str,
    /// The path, as the router knows it; `None`: not one path.
    pub path: Option<&'static str>,
    /// Who may.
    pub access: Access,
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    /// Everyone who reaches the port.
    Open,
    /// Every key; what the call asks for needs rights of its own.
    AnyKey,
    /// Keys with this right.
    Key(Right),
}

impl Call {
    /// Every call, in the order of their discriminants.
    pub(crate) const ALL: [Self; 16] = [
        Self::Publish,
        Self::Broadcast,
        Self::Batch,
        Self::Send,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Disconnect,
        Self::Channels,
        Self::Channel,
        Self::Presence,
        Self::History,
        Self::Sessions,
        Self::Session,
        Self::Nodes,
        Self::Docs,
        Self::Other,
    ];

    /// The call that the router found under `path`.
    pub(super) fn of_path(path: Option<&str>) -> Self {
        let Some(path) = path else { return Self::Other };
        if matches!(path, "/openapi.json" | "/docs") {
            return Self::Docs;
        }
        Self::ALL.into_iter().find(|call| call.row().path == Some(path)).unwrap_or(Self::Other)
    }

    /// What there is to know of the call.
    pub(crate) const fn row(self) -> CallRow {
        let (name, path, access) = match self {
            Self::Publish => ("publish", "/v1/publish", Access::Key(Right::Publish)),
            Self::Broadcast => ("broadcast", "/v1/broadcast", Access::Key(Right::Publish)),
            Self::Batch => ("batch", "/v1/batch", Access::AnyKey),
            Self::Send => ("send", "/v1/send", Access::Key(Right::Send)),
            Self::Subscribe => ("subscribe", "/v1/subscribe", Access::Key(Right::Subscribe)),
            Self::Unsubscribe => ("unsubscribe", "/v1/unsubscribe", Access::Key(Right::Subscribe)),
            Self::Disconnect => ("disconnect", "/v1/disconnect", Access::Key(Right::Disconnect)),
            Self::Channels => ("channels", "/v1/channels", Access::Key(Right::Read)),
            Self::Channel => ("channel", "/v1/channels/{channel}", Access::Key(Right::Read)),
            Self::Presence => ("presence", "/v1/channels/{channel}/presence", Access::Key(Right::Read)),
            Self::History => ("history", "/v1/channels/{channel}/history", Access::Key(Right::Read)),
            Self::Sessions => ("sessions", "/v1/sessions", Access::Key(Right::Read)),
            Self::Session => ("session", "/v1/sessions/{session}", Access::Key(Right::Read)),
            Self::Nodes => ("nodes", "/v1/nodes", Access::Key(Right::Read)),
            Self::Docs => return CallRow { name: "docs", path: None, access: Access::Open },
            Self::Other => return CallRow { name: "other", path: None, access: Access::Open },
        };
        CallRow { name, path: Some(path), access }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_stand_in_the_order_of_their_discriminants() {
        for (index, call) in Call::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, index);
        }
    }
}
