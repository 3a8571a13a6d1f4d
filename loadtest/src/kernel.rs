//! What the kernel lost of its own accord: a retransmission after a drop on loopback looks like a stall of the server for seconds.
//!
//! Place in the data path: none; scenarios with offenders read it before and after, and put it beside the latencies.

use std::fs;

use serde::Serialize;

/// Counters of the whole machine; 0 where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct KernelLosses {
    /// Packets dropped because a core's input queue was full (`net.core.netdev_max_backlog`).
    pub(crate) packet_drops: u64,
    /// Retransmission timers of TCP that ran out.
    pub(crate) tcp_timeouts: u64,
    /// Milliseconds in which TCP was short of memory (`net.ipv4.tcp_mem`).
    pub(crate) tcp_memory_pressure_ms: u64,
}

impl KernelLosses {
    /// Since the machine started. Never fails: these figures only help to read others.
    pub(crate) fn read() -> Self {
        let softnet = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
        let netstat = fs::read_to_string("/proc/net/netstat").unwrap_or_default();
        Self {
            packet_drops: parse_softnet_drops(&softnet),
            tcp_timeouts: parse_netstat(&netstat, "TCPTimeouts"),
            tcp_memory_pressure_ms: parse_netstat(&netstat, "TCPMemoryPressuresChrono"),
        }
    }

    /// By name, from `before` until this reading.
    pub(crate) fn since(self, before: Self) -> [(&'static str, u64); 3] {
        [
            ("kernel packet drops", self.packet_drops.saturating_sub(before.packet_drops)),
            ("kernel tcp timeouts", self.tcp_timeouts.saturating_sub(before.tcp_timeouts)),
            (
                "kernel short of tcp, ms",
                self.tcp_memory_pressure_ms.saturating_sub(before.tcp_memory_pressure_ms),
            ),
        ]
    }
}

/// A line for each core; the second column, in hexadecimal, counts drops.
fn parse_softnet_drops(text: &str) -> u64 {
    text.lines().filter_map(|line| u64::from_str_radix(line.split_ascii_whitespace().nth(1)?, 16).ok()).sum()
}

/// Names and values stand in two lines that begin with the same word.
fn parse_netstat(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let mut pairs = names.split_ascii_whitespace().zip(values.split_ascii_whitespace());
        if let Some((_, value)) = pairs.find(|(word, _)| *word == name) {
            return value.parse().unwrap_or(0);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_all_cores_are_summed() {
        let text = "020faf38 00000002 00000026 00000000\n01fb63de 000029ae 00000016 00000000\n";
        assert_eq!(parse_softnet_drops(text), 2 + 0x29ae);
        assert_eq!(parse_softnet_drops(""), 0);
    }

    #[test]
    fn a_counter_is_found_by_its_name() {
        let text = "TcpExt: SyncookiesSent TCPTimeouts\nTcpExt: 7 294\nIpExt: InNoRoutes\nIpExt: 3\n";
        assert_eq!(parse_netstat(text, "TCPTimeouts"), 294);
        assert_eq!(parse_netstat(text, "InNoRoutes"), 3);
        assert_eq!(parse_netstat(text, "Nothing"), 0);
    }

    #[test]
    fn only_what_happened_in_between_counts() {
        let before = KernelLosses { packet_drops: 5, tcp_timeouts: 9, tcp_memory_pressure_ms: 1 };
        let after = KernelLosses { packet_drops: 7, tcp_timeouts: 9, tcp_memory_pressure_ms: 4 };
        assert_eq!(after.since(before).map(|(_, count)| count), [2, 0, 3]);
    }
}
