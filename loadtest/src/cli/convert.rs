//! From what was typed to what the scenarios take.

use std::sync::Arc;

use tidegate_wire::frame::OpCode;

use super::{
    BoundArgs, CommonArgs, DialectArgs, DialectName, EchoArgs, FanoutArgs, HandshakeArgs, IdleArgs,
    MessageArgs, NeighbourArgs, RunArgs, SlowReadersArgs, SlowlorisArgs,
};
use crate::failure::Failure;
use crate::native::{Credentials, Dialect, Native};
use crate::progress::Progress;
use crate::scenario::echo::EchoPlan;
use crate::scenario::fanout::FanoutPlan;
use crate::scenario::handshake::HandshakePlan;
use crate::scenario::idle::{IdlePlan, Subscribe};
use crate::scenario::slow_readers::SlowReadersPlan;
use crate::scenario::slowloris::SlowlorisPlan;
use crate::scenario::{Bounds, Common, Messages, NeighbourPlan};
use crate::target::Target;

/// In open loop the depth is only there to bound memory against a server that never answers.
const DEPTH_OPEN_LOOP: u64 = 1024;
const OFFENDER_RATE_ECHO: u64 = 5_000;
const OFFENDER_RATE_CHANNEL: u64 = 20;

impl From<CommonArgs> for Common {
    fn from(args: CommonArgs) -> Self {
        args.run.into_common(args.url)
    }
}

impl RunArgs {
    fn into_common(self, target: Target) -> Common {
        let args = self;
        Common {
            target,
            dialect: args.dialect.into(),
            sources: args.source_ips,
            pid: args.pid,
            progress: if args.quiet { Progress::silent() } else { Progress::every_second() },
        }
    }
}

impl RunArgs {
    /// For a scenario that has no other dialect: it need not be named, but no other may be. `why` begins the refusal.
    pub(super) fn into_native(mut self, target: Target, why: &str) -> Result<(Common, Native), Failure> {
        if self.dialect.dialect.replace(DialectName::Native) == Some(DialectName::Raw) {
            return Err(Failure::Usage(format!("{why}, which --dialect raw has none of")));
        }
        let native: Native = self.dialect.clone().into();
        Ok((self.into_common(target), native))
    }
}

impl From<DialectArgs> for Dialect {
    fn from(args: DialectArgs) -> Self {
        match args.dialect.unwrap_or(DialectName::Raw) {
            DialectName::Raw => Self::Raw,
            DialectName::Native => Self::Native(args.into()),
        }
    }
}

impl From<DialectArgs> for Native {
    fn from(args: DialectArgs) -> Self {
        let credentials = match (args.token, args.jwt_secret) {
            (Some(token), _) => Credentials::Token(token),
            (None, Some(secret)) => Credentials::secret(&secret),
            (None, None) => Credentials::None,
        };
        Self { credentials: Arc::new(credentials), channel_base: args.channel_base }
    }
}

impl From<BoundArgs> for Bounds {
    fn from(args: BoundArgs) -> Self {
        Self { warmup: args.warmup, duration: args.duration, count: args.count }
    }
}

impl MessageArgs {
    fn messages(&self) -> Messages {
        Messages {
            size_bytes: self.size,
            opcode: if self.text { OpCode::Text } else { OpCode::Binary },
            depth: self.depth.unwrap_or(if self.rate.is_some() { DEPTH_OPEN_LOOP } else { 1 }),
        }
    }
}

impl From<EchoArgs> for EchoPlan {
    fn from(args: EchoArgs) -> Self {
        Self {
            common: args.common.into(),
            connections: args.connections,
            messages: args.messages.messages(),
            rate: args.messages.rate,
            bounds: args.bounds.into(),
        }
    }
}

impl From<FanoutArgs> for FanoutPlan {
    fn from(args: FanoutArgs) -> Self {
        Self {
            common: args.common.into(),
            other_nodes: args.other_url,
            subscribers: args.subscribers,
            publishers: args.publishers,
            messages: args.messages.messages(),
            rate: args.messages.rate,
            bounds: args.bounds.into(),
        }
    }
}

impl From<HandshakeArgs> for HandshakePlan {
    fn from(args: HandshakeArgs) -> Self {
        Self {
            common: args.common.into(),
            concurrency: args.concurrency,
            rate: args.rate,
            goodbye: args.goodbye.into(),
            bounds: args.bounds.into(),
        }
    }
}

impl From<IdleArgs> for IdlePlan {
    fn from(args: IdleArgs) -> Self {
        Self {
            common: args.common.into(),
            connections: args.connections,
            subscribe: if args.own_channels { Subscribe::OwnEach } else { Subscribe::OneForAll },
            settle: args.settle,
            hold: args.hold,
        }
    }
}

impl From<NeighbourArgs> for NeighbourPlan {
    fn from(args: NeighbourArgs) -> Self {
        Self {
            count: args.well_behaved,
            messages: Messages { size_bytes: args.size, opcode: OpCode::Binary, depth: DEPTH_OPEN_LOOP },
            rate: args.rate,
            warmup: args.warmup,
            baseline: args.baseline,
            p99_ratio_max: args.p99_ratio_max,
        }
    }
}

impl From<SlowlorisArgs> for SlowlorisPlan {
    fn from(args: SlowlorisArgs) -> Self {
        Self {
            common: args.common.into(),
            neighbours: args.neighbours.into(),
            offenders: args.connections,
            offender_rate: args.connect_rate,
            byte_interval: args.byte_interval,
            duration: args.duration,
        }
    }
}

impl From<SlowReadersArgs> for SlowReadersPlan {
    fn from(args: SlowReadersArgs) -> Self {
        let rate = if args.channel.is_some() { OFFENDER_RATE_CHANNEL } else { OFFENDER_RATE_ECHO };
        Self {
            neighbours: args.neighbours.into(),
            offenders: args.connections,
            offender_channel: args.channel,
            offender_size_bytes: args.offender_size,
            offender_rate: args.offender_rate.unwrap_or(rate),
            connect_rate: args.connect_rate,
            duration: args.duration,
            common: args.common.into(),
        }
    }
}
