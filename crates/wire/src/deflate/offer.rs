//! The client's side of the negotiation: what it offers, and whether the answer fits (RFC 7692 section 7.1).

use super::WINDOW_BITS_MAX;
use super::agreement::Agreement;
use super::error::{Parameter, ParameterError};
use super::parameters::{NAME, Parameters, append_bits, append_flag};

/// What a client asks for in its request. The default is what browsers send: no wish but the client's window left open to
/// a limit by the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientOffer {
    /// Asks the server to forget its window after each message, so that the client need not keep one.
    pub server_no_context_takeover: bool,
    /// Announces that the client forgets its window after each message.
    pub client_no_context_takeover: bool,
    /// The largest server window the client can bear, as a base-2 logarithm from 8 to 15.
    pub server_max_window_bits: Option<u8>,
    /// Permits the server to limit the client's window, which will not pass the value given here (8 to 15) in any case.
    pub client_max_window_bits: Option<u8>,
}

impl Default for ClientOffer {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: Some(WINDOW_BITS_MAX),
        }
    }
}

impl ClientOffer {
    /// Appends the value of the client's `Sec-WebSocket-Extensions` header.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(NAME);
        if self.server_no_context_takeover {
            append_flag(out, Parameter::ServerNoContextTakeover);
        }
        if self.client_no_context_takeover {
            append_flag(out, Parameter::ClientNoContextTakeover);
        }
        if let Some(bits) = self.server_max_window_bits {
            append_bits(out, Parameter::ServerMaxWindowBits, bits);
        }
        match self.client_max_window_bits {
            // Without a value it says the same and is what browsers send.
            Some(WINDOW_BITS_MAX) => append_flag(out, Parameter::ClientMaxWindowBits),
            Some(bits) => append_bits(out, Parameter::ClientMaxWindowBits, bits),
            None => {}
        }
    }

    /// Checks the server's answer against this offer.
    pub(super) fn confirm(&self, answer: &Parameters) -> Result<Agreement, ParameterError> {
        if self.server_no_context_takeover && !answer.server_no_context_takeover {
            return Err(ParameterError::NotConfirmed(Parameter::ServerNoContextTakeover));
        }
        match (self.server_max_window_bits, answer.server_max_window_bits) {
            (Some(_), None) => return Err(ParameterError::NotConfirmed(Parameter::ServerMaxWindowBits)),
            (Some(offered), Some(answered)) if answered > offered => {
                return Err(ParameterError::WindowTooLarge);
            }
            (Some(_), Some(_)) | (None, _) => {}
        }
        let client_max_window_bits = match (self.client_max_window_bits, answer.client_max_window_bits) {
            (None, Some(_)) => return Err(ParameterError::NotOffered(Parameter::ClientMaxWindowBits)),
            // Only an offer may leave the value out (section 7.1.2.2).
            (Some(_), Some(None)) => {
                return Err(ParameterError::MissingValue(Parameter::ClientMaxWindowBits));
            }
            (Some(offered), Some(Some(answered))) => offered.min(answered),
            (Some(offered), None) => offered,
            (None, None) => WINDOW_BITS_MAX,
        };
        Ok(Agreement {
            server_no_context_takeover: answer.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || answer.client_no_context_takeover,
            server_max_window_bits: answer.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX),
            client_max_window_bits,
            server_max_window_bits_offered: self.server_max_window_bits.is_some(),
        })
    }
}
