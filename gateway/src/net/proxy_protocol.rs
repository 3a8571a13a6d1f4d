//! PROXY protocol v1 and v2: whom a trusted load balancer connects on behalf of.
//!
//! Place in the data path: the first bytes of a connection, before TLS, and only from peers in [`Trusted`]. Written by
//! hand because the available parser is neither strict nor resumable: it accepts `+80` as a port, calls a line cut
//! in the middle of a port malformed, and has no bound on version 2.
//!
//! Rules are those of HAProxy's `proxy-protocol.txt`, sections 2.1 (text) and 2.2 (binary).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// Longest version 1 line with its CR LF, in bytes (section 2.1).
pub(crate) const V1_BYTES_MAX: usize = 107;

/// Longest version 2 header accepted, TLVs included, in bytes: what fits the smallest TCP segment a host must take.
/// The format would allow 65,551; real senders with TLS and unique-id TLVs stay below 400.
pub(crate) const V2_BYTES_MAX: usize = 536;

const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;

/// How far a header is understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// Right so far: call again with the same bytes and more.
    Incomplete,
    /// The header is whole.
    Done {
        /// The client. `None` where the proxy speaks for itself (`LOCAL`: a health check) or does not know
        /// (`UNKNOWN`, unspecified, UNIX sockets): the address of the connection itself counts then.
        source: Option<SocketAddr>,
        /// Length of the header in bytes; what follows is the client's.
        consumed: usize,
    },
}

/// Which rule a header breaks. The peer is the operator's own proxy: each is a misconfiguration worth its name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum ProxyError {
    /// Neither version's signature.
    #[error(
        "the trusted proxy sent no PROXY protocol header; turn it on there (send-proxy), or drop the proxy from \
             client.proxy_protocol.trusted_cidrs"
    )]
    Missing,
    /// No CR LF within [`V1_BYTES_MAX`].
    #[error("PROXY v1 line is longer than 107 bytes")]
    V1TooLong,
    /// A CR without LF, or an LF without CR.
    #[error("PROXY v1 line does not end in CR LF")]
    V1LineEnd,
    /// Not exactly `PROXY family source destination sourceport destinationport`, single spaces.
    #[error("PROXY v1 line does not have six words separated by single spaces")]
    V1Words,
    /// Neither TCP4 nor TCP6 nor UNKNOWN.
    #[error("PROXY v1 family is neither TCP4 nor TCP6 nor UNKNOWN")]
    V1Family,
    /// An address that is not of the family.
    #[error("PROXY v1 address does not belong to its family")]
    V1Address,
    /// Not a decimal number from 0 to 65535 without leading zeros or sign.
    #[error("PROXY v1 port is not a number from 0 to 65535")]
    V1Port,
    /// The version half of byte 13 is not 2.
    #[error("PROXY v2 signature with a version other than 2")]
    V2Version,
    /// Neither LOCAL nor PROXY.
    #[error("PROXY v2 command is neither LOCAL nor PROXY")]
    V2Command,
    /// An address family or transport beyond those defined.
    #[error("PROXY v2 address family or transport is not defined")]
    V2Family,
    /// A UDP client cannot be behind a TCP connection.
    #[error("PROXY v2 announces a datagram transport on a TCP port")]
    V2Transport,
    /// The length is smaller than the family's addresses.
    #[error("PROXY v2 header is too short for its address family")]
    V2TooShort,
    /// The length is beyond [`V2_BYTES_MAX`].
    #[error("PROXY v2 header is longer than 536 bytes")]
    V2TooLong,
}

/// Reads the header at the start of `bytes`, which may hold any number of bytes beyond it.
///
/// Wrong bytes are refused as soon as they are seen where the signature is concerned, so that a client that speaks
/// HTTP or TLS is not kept waiting; the rest is judged when the header is whole.
pub(crate) fn parse(bytes: &[u8]) -> Result<Progress, ProxyError> {
    if starts_alike(bytes, V2_SIGNATURE) {
        return parse_v2(bytes);
    }
    if starts_alike(bytes, V1_START) {
        return parse_v1(bytes);
    }
    Err(ProxyError::Missing)
}

/// Whether `bytes` begin with `start`, as far as they go.
fn starts_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

fn parse_v1(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = window.iter().position(|&b| b == b'\r' || b == b'\n') else {
        return if window.len() == V1_BYTES_MAX {
            Err(ProxyError::V1TooLong)
        } else {
            Ok(Progress::Incomplete)
        };
    };
    match window.get(end..end + 2) {
        Some(b"\r\n") => {}
        Some(_) => return Err(ProxyError::V1LineEnd),
        None if window[end] == b'\n' => return Err(ProxyError::V1LineEnd),
        None if window.len() == V1_BYTES_MAX => return Err(ProxyError::V1TooLong),
        None => return Ok(Progress::Incomplete),
    }
    let line = std::str::from_utf8(&window[V1_START.len()..end]).map_err(|_| ProxyError::V1Words)?;
    Ok(Progress::Done { source: v1_source(line)?, consumed: end + 2 })
}

/// Judges a version 1 line from behind `PROXY ` up to its CR.
fn v1_source(line: &str) -> Result<Option<SocketAddr>, ProxyError> {
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    // "the receiver must ignore anything presented before the CRLF" of an UNKNOWN line.
    if family == "UNKNOWN" {
        return Ok(None);
    }
    let rest = [words.next(), words.next(), words.next(), words.next()];
    let ([Some(source), Some(destination), Some(source_port), Some(destination_port)], None) =
        (rest, words.next())
    else {
        return Err(if matches!(family, "TCP4" | "TCP6") {
            ProxyError::V1Words
        } else {
            ProxyError::V1Family
        });
    };
    let ip = match family {
        "TCP4" => IpAddr::V4(v1_address_pair::<Ipv4Addr>(source, destination)?),
        "TCP6" => IpAddr::V6(v1_address_pair::<Ipv6Addr>(source, destination)?),
        _ => return Err(ProxyError::V1Family),
    };
    let port = v1_port(source_port)?;
    v1_port(destination_port)?;
    Ok(Some(SocketAddr::new(ip, port)))
}

/// Checks both addresses, for one broken field means that the line cannot be trusted; returns the source.
fn v1_address_pair<A: FromStr>(source: &str, destination: &str) -> Result<A, ProxyError> {
    let address = |word: &str| word.parse::<A>().map_err(|_| ProxyError::V1Address);
    address(destination)?;
    address(source)
}

fn v1_port(word: &str) -> Result<u16, ProxyError> {
    let plain = word.bytes().all(|b| b.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    // `u16::from_str` alone would take "+80" and "080".
    if plain { word.parse().map_err(|_| ProxyError::V1Port) } else { Err(ProxyError::V1Port) }
}

fn parse_v2(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else {
        return Ok(Progress::Incomplete);
    };
    let [.., version_command, family_transport, length_high, length_low] = *fixed;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let consumed = V2_FIXED_BYTES + length;

    if version_command >> 4 != 2 {
        return Err(ProxyError::V2Version);
    }
    let speaks_for_client = match version_command & 0x0F {
        0 => false,
        1 => true,
        _ => return Err(ProxyError::V2Command),
    };
    if consumed > V2_BYTES_MAX {
        return Err(ProxyError::V2TooLong);
    }
    let Some(body) = rest.get(..length) else {
        return Ok(Progress::Incomplete);
    };
    // "The receiver must accept this connection as valid and must use the real connection endpoints": for LOCAL the
    // family is not looked at.
    let source = if speaks_for_client { v2_source(family_transport, body)? } else { None };
    Ok(Progress::Done { source, consumed })
}

/// The source address of a PROXY command; the TLVs behind the addresses are skipped.
fn v2_source(family_transport: u8, body: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    match family_transport & 0x0F {
        // "The receiver should ignore address information": unspecified transport, whatever the family.
        0x0 => return Ok(None),
        0x1 => {}
        0x2 => return Err(ProxyError::V2Transport),
        _ => return Err(ProxyError::V2Family),
    }
    match family_transport >> 4 {
        0x0 => Ok(None),
        0x1 => {
            let address = body.first_chunk::<12>().ok_or(ProxyError::V2TooShort)?;
            let [a, b, c, d, _, _, _, _, port_high, port_low, _, _] = *address;
            let port = u16::from_be_bytes([port_high, port_low]);
            Ok(Some(SocketAddr::from(([a, b, c, d], port))))
        }
        0x2 => {
            let addresses = body.first_chunk::<36>().ok_or(ProxyError::V2TooShort)?;
            let source = addresses.first_chunk::<16>().expect("36 bytes hold 16");
            Ok(Some(SocketAddr::from((*source, u16::from_be_bytes([addresses[32], addresses[33]])))))
        }
        0x3 => body.first_chunk::<216>().map(|_| None).ok_or(ProxyError::V2TooShort),
        _ => Err(ProxyError::V2Family),
    }
}

/// The peers whose PROXY header is believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted {
    nets: Vec<IpNet>,
}

impl Trusted {
    /// Trusts the peers in `cidrs`. An IPv4-mapped IPv6 network (`::ffff:10.0.0.0/104`) is the IPv4 one.
    pub(crate) fn new(cidrs: &[IpNet]) -> Self {
        Self { nets: cidrs.iter().copied().map(canonical_net).collect() }
    }

    /// Whether `peer` is in one of the networks; an IPv4-mapped address, as a dual-stack socket gives it, is IPv4.
    pub(crate) fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.nets.iter().any(|net| net.contains(&peer))
    }
}

fn canonical_net(net: IpNet) -> IpNet {
    const MAPPED_PREFIX_BITS: u8 = 96;

    let IpNet::V6(v6) = net else { return net };
    match (v6.network().to_ipv4_mapped(), v6.prefix_len().checked_sub(MAPPED_PREFIX_BITS)) {
        (Some(v4), Some(bits)) => IpNet::new(v4.into(), bits).expect("128 - 96 = 32 bits at most"),
        _ => net,
    }
}

#[cfg(test)]
mod tests;
