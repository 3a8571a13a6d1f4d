//! Who may keep which window: the server's choice among offers, and the answer (RFC 7692 section 7.1).
//!
//! Place in the data path: `handshake` writes the [`Agreement`] into the 101 answer, `client` reads it there and checks it
//! against its [`ClientOffer`]; a connection then makes its `Inflate` and `Deflate` from the agreement.

use super::error::{ExtensionError, Parameter, ParameterError};
use super::header::ExtensionReader;
use super::offer::ClientOffer;
use super::parameters::{NAME, Parameters, append_bits, append_flag};
use super::{COMPRESS_WINDOW_BITS_MIN, WINDOW_BITS_MAX};

#[cfg(test)]
mod tests;

/// What the operator of a server allows.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether any offer is accepted.
    pub enabled: bool,
    /// Whether the server keeps its window from one message to the next, one compressor for each connection.
    pub server_context_takeover: bool,
    /// Whether clients may keep their windows, which makes the server keep up to 32 KiB for each connection.
    pub client_context_takeover: bool,
    /// Base-2 logarithm of the server's window in bytes, 9 to 15.
    pub server_max_window_bits: u8,
    /// Compression level, 1 (fastest) to 9.
    pub level: u8,
    /// Messages under so many bytes are sent as they are.
    pub threshold_bytes: usize,
}

impl Default for Policy {
    /// On, without takeover either way, at the fastest level, for messages from 1 KiB.
    fn default() -> Self {
        Self {
            enabled: true,
            server_context_takeover: false,
            client_context_takeover: false,
            server_max_window_bits: WINDOW_BITS_MAX,
            level: 1,
            threshold_bytes: 1024,
        }
    }
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Agreement {
    /// The server starts each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client starts each message with an empty window.
    pub client_no_context_takeover: bool,
    /// Base-2 logarithm of the server's window in bytes, 8 to 15; 9 to 15 if [`negotiate`] made the agreement.
    pub server_max_window_bits: u8,
    /// Base-2 logarithm of the client's window in bytes, 8 to 15.
    pub client_max_window_bits: u8,
    /// Whether the offer limited the server's window. An offered limit must be confirmed even where it limits nothing
    /// (section 7.1.2.1); an unoffered one is better left out, since some clients do not know it.
    pub server_max_window_bits_offered: bool,
}

impl Default for Agreement {
    /// What a bare `permessage-deflate` means: both sides keep windows of 32 KiB.
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WINDOW_BITS_MAX,
            client_max_window_bits: WINDOW_BITS_MAX,
            server_max_window_bits_offered: false,
        }
    }
}

/// Chooses the first acceptable permessage-deflate offer, reading the values of a request's `Sec-WebSocket-Extensions`
/// headers in their order. `None`: the connection goes without compression.
///
/// Other extensions are ignored and offers that break a rule of RFC 7692 are declined, as section 7.1 demands.
///
/// # Errors
///
/// A header that breaks the grammar of RFC 6455 section 9.1, wherever it does; the answer is status 400.
pub fn negotiate<'a>(
    policy: &Policy,
    offers: impl Iterator<Item = &'a [u8]>,
) -> Result<Option<Agreement>, ExtensionError> {
    let mut agreement = None;
    for value in offers {
        let mut reader = ExtensionReader::new(value);
        while let Some(name) = reader.next_extension()? {
            // Read even when the choice is made: the syntax of every header is checked.
            let parameters = Parameters::read(&mut reader)?;
            if agreement.is_none() && policy.enabled && name == NAME {
                agreement = parameters.and_then(|offer| accept(policy, &offer)).ok();
            }
        }
    }
    Ok(agreement)
}

/// The server's answer to one well-formed offer.
fn accept(policy: &Policy, offer: &Parameters) -> Result<Agreement, ParameterError> {
    if offer.server_max_window_bits.is_some_and(|bits| bits < COMPRESS_WINDOW_BITS_MIN) {
        return Err(ParameterError::WindowTooSmall);
    }
    let allowed_bits = policy.server_max_window_bits.clamp(COMPRESS_WINDOW_BITS_MIN, WINDOW_BITS_MAX);
    Ok(Agreement {
        server_no_context_takeover: offer.server_no_context_takeover || !policy.server_context_takeover,
        client_no_context_takeover: offer.client_no_context_takeover || !policy.client_context_takeover,
        server_max_window_bits: offer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX).min(allowed_bits),
        // The client's own limit holds whatever the answer says (section 7.1.2.2). We ask for none: inflating needs no
        // more memory for a larger window, except under takeover, where what the client offers is all it can be held to.
        client_max_window_bits: offer.client_max_window_bits.flatten().unwrap_or(WINDOW_BITS_MAX),
        server_max_window_bits_offered: offer.server_max_window_bits.is_some(),
    })
}

impl Agreement {
    /// Appends the value of the server's `Sec-WebSocket-Extensions` header.
    pub fn append_response(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME);
        if self.server_no_context_takeover {
            append_flag(out, Parameter::ServerNoContextTakeover);
        }
        if self.client_no_context_takeover {
            append_flag(out, Parameter::ClientNoContextTakeover);
        }
        if self.server_max_window_bits_offered || self.server_max_window_bits < WINDOW_BITS_MAX {
            append_bits(out, Parameter::ServerMaxWindowBits, self.server_max_window_bits);
        }
        // Permitted only in answer to an offer of it; under 15 it can come from nowhere else.
        if self.client_max_window_bits < WINDOW_BITS_MAX {
            append_bits(out, Parameter::ClientMaxWindowBits, self.client_max_window_bits);
        }
    }

    /// The client's reading of the server's `Sec-WebSocket-Extensions` value. `None`: the value names no extension.
    ///
    /// # Errors
    ///
    /// The answer breaks the grammar, names what was not offered, or contradicts the offer; the connection must be failed
    /// (RFC 6455 section 4.1, RFC 7692 section 7.1).
    pub fn parse_response(value: &[u8], offered: &ClientOffer) -> Result<Option<Self>, ExtensionError> {
        let mut agreement = None;
        let mut reader = ExtensionReader::new(value);
        while let Some(name) = reader.next_extension()? {
            let parameters = Parameters::read(&mut reader)?;
            if name != NAME {
                return Err(ExtensionError::NotOffered);
            }
            if agreement.is_some() {
                return Err(ExtensionError::AcceptedTwice);
            }
            agreement = Some(offered.confirm(&parameters?)?);
        }
        Ok(agreement)
    }
}
