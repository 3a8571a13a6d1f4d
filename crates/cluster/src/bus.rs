//! Carries messages between nodes, the sending one included: a publication reaches local subscribers only from here.
//!
//! Place in the data path: `dispatch` publishes an encoded node message; on each node with a subscriber of the channel
//! its [`Receiver`] gets it. Delivery is at most once, in order for each publisher; whoever needs more has offsets and a
//! history to repair from.

pub mod inbox;

use bytes::Bytes;
use tidegate_protocol::channel::{Channel, ChannelName};
use tidegate_protocol::id::NodeName;

use crate::answer::Answer;

pub use inbox::Inbox;

/// One node's end of the bus. What comes in goes to the [`Receiver`] that the end was made with.
pub trait Bus: Send + Sync {
    /// Sends to every node that has subscribed to the channel. The answer says that the message is on its way.
    fn publish(&self, channel: &Channel<'_>, message: Bytes) -> Answer<()>;

    /// Sends to one node. A node that is not there gets nothing, and nobody is told.
    fn send(&self, node: &NodeName, message: Bytes) -> Answer<()>;

    /// Sends to every node.
    fn broadcast(&self, message: Bytes) -> Answer<()>;

    /// Asks for a channel's publications. Whatever is published after the answer comes in. Asking twice is asking once.
    fn subscribe(&self, channel: &Channel<'_>) -> Answer<()>;

    /// Asks for no more of them. What is on its way may still come in.
    fn unsubscribe(&self, channel: &Channel<'_>) -> Answer<()>;
}

/// What a node does with what comes in.
///
/// Called on any thread, and by several at a time; the messages of one publisher come one after the other, in order. It
/// must neither wait nor call the bus: the caller may be a worker in the middle of its turn, or this very node's. A
/// receiver whose room is used up drops, counts, and tells its node what to repair. [`Inbox`] is one that does.
pub trait Receiver: Send + Sync {
    /// A message for this node.
    fn receive(&self, mail: Mail);

    /// Messages were lost on their way here.
    fn lose(&self, loss: Loss);
}

/// A message for a node.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mail {
    /// Published to a channel that the node subscribed to.
    Publication {
        /// The channel.
        channel: ChannelName,
        /// An encoded node message.
        message: Bytes,
    },
    /// Sent to this node, or to all.
    Direct {
        /// An encoded node message.
        message: Bytes,
    },
}

/// Messages that did not arrive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Loss {
    /// Of this channel: compare its position with the history's head.
    Channel(ChannelName),
    /// Of any of the channels subscribed to, or direct ones.
    Unknown,
}

impl Mail {
    /// Bytes of the message.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Publication { message, .. } | Self::Direct { message } => message.len(),
        }
    }
}
