//! Bytes into node messages, borrowing from them.

use super::{
    Access, Direct, Disconnect, DisconnectTarget, NodeMessage, Publication, PublicationKind, TARGET_SESSION,
    TARGET_TOKEN, TARGET_USER, VERSION,
};
use crate::channel::{Channel, ChannelError};
use crate::command::Target;
use crate::id::{ID_BYTES, SessionId};
use crate::position::{Epoch, Link, Position, Tag};

/// The messages of a payload, in order; kinds that this node does not know are passed over.
pub fn messages(payload: &[u8]) -> Messages<'_> {
    Messages { rest: Reader { bytes: payload } }
}

/// See [`messages`]. Ends after the first error: there is no telling where the next message would begin.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: Reader<'a>,
}

/// Why bytes are no node message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// A version whose framing is another.
    #[error("a message of version {0}, of which this node knows nothing")]
    Version(u8),
    /// The payload ends within a message.
    #[error("a message is cut short")]
    CutShort,
    /// Text that is not UTF-8.
    #[error("a text field is not UTF-8")]
    Text,
    /// A channel that breaks the rules of names.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A choice that this version does not have, in a field that a message cannot do without.
    #[error("an unknown {field}: {value}")]
    Choice {
        /// What it was to choose.
        field: &'static str,
        /// What it says.
        value: u8,
    },
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<NodeMessage<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.bytes.is_empty() {
            match self.rest.message() {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) => {}
                Err(error) => {
                    self.rest.bytes = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// Takes fields from the front of what is left.
#[derive(Clone, Debug)]
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// `None`: a kind of a later version.
    fn message(&mut self) -> Result<Option<NodeMessage<'a>>, DecodeError> {
        let version = self.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let kind = self.u8()?;
        let mut body = Reader { bytes: self.long_bytes()? };
        Ok(Some(match kind {
            super::KIND_PUBLICATION => NodeMessage::Publication(body.publication()?),
            super::KIND_DIRECT => {
                NodeMessage::Direct(Direct { target: body.target()?, object: body.long_bytes()? })
            }
            super::KIND_DISCONNECT => NodeMessage::Disconnect(body.disconnect()?),
            super::KIND_SUBSCRIBE => {
                NodeMessage::Subscribe { target: body.target()?, channel: body.channel()? }
            }
            super::KIND_UNSUBSCRIBE => {
                NodeMessage::Unsubscribe { target: body.target()?, channel: body.channel()? }
            }
            super::KIND_TAKEN_OVER => NodeMessage::TakenOver { session: body.session()?, fence: body.u64()? },
            _ => return Ok(None),
        }))
    }

    fn publication(&mut self) -> Result<Publication<'a>, DecodeError> {
        let channel = self.channel()?;
        let kind = match self.u8()? {
            1 => PublicationKind::Message,
            2 => PublicationKind::Join,
            3 => PublicationKind::Leave,
            value => return Err(DecodeError::Choice { field: "kind of publication", value }),
        };
        let object = self.long_bytes()?;

        let mut flags = self.flags()?;
        Ok(Publication {
            channel,
            kind,
            object,
            position: flags.take(|| self.position())?,
            from: flags.take(|| self.text())?,
            origin: flags.take(|| self.session())?,
            conflate: flags.take(|| self.text())?,
            trace: flags.take(|| self.text())?,
            link: flags.take(|| self.link())?,
        })
    }

    fn disconnect(&mut self) -> Result<Disconnect<'a>, DecodeError> {
        let target = match self.bytes.first() {
            Some(&TARGET_TOKEN) => {
                self.u8()?;
                DisconnectTarget::Token(self.text()?)
            }
            Some(_) | None => DisconnectTarget::Sessions(self.target()?),
        };
        let access = match self.u8()? {
            0 => Access::Kept,
            1 => Access::Revoked,
            value => return Err(DecodeError::Choice { field: "access", value }),
        };

        let mut flags = self.flags()?;
        Ok(Disconnect {
            target,
            access,
            code: flags.take(|| self.u16())?,
            reason: flags.take(|| self.text())?,
        })
    }

    fn target(&mut self) -> Result<Target<'a>, DecodeError> {
        match self.u8()? {
            TARGET_USER => Ok(Target::User(self.text()?.into())),
            TARGET_SESSION => Ok(Target::Session(self.session()?)),
            value => Err(DecodeError::Choice { field: "target", value }),
        }
    }

    fn channel(&mut self) -> Result<Channel<'a>, DecodeError> {
        Ok(Channel::parse(self.text()?)?)
    }

    fn session(&mut self) -> Result<SessionId, DecodeError> {
        self.array::<ID_BYTES>().map(SessionId::from_bytes)
    }

    fn position(&mut self) -> Result<Position, DecodeError> {
        Ok(Position { epoch: Epoch::new(self.u64()?), offset: self.u64()? })
    }

    fn link(&mut self) -> Result<Link, DecodeError> {
        Ok(Link { tag: Tag::new(self.u64()?), previous: Tag::new(self.u64()?) })
    }

    fn flags(&mut self) -> Result<Flags, DecodeError> {
        self.u16().map(Flags)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.u16()?;
        std::str::from_utf8(self.take(length.into())?).map_err(|_| DecodeError::Text)
    }

    fn long_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = u32::from_be_bytes(self.array()?);
        self.take(length as usize)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::CutShort)?;
        self.bytes = rest;
        Ok(*array)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::CutShort)?;
        self.bytes = rest;
        Ok(taken)
    }
}

/// Which of the optional fields are there, from the lowest bit on.
struct Flags(u16);

impl Flags {
    fn take<T>(&mut self, read: impl FnOnce() -> Result<T, DecodeError>) -> Result<Option<T>, DecodeError> {
        let is_there = self.0 & 1 == 1;
        self.0 >>= 1;
        is_there.then(read).transpose()
    }
}
