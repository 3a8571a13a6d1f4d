//! The four parameters of permessage-deflate, as they stand in an offer or an answer (RFC 7692 section 7.1).
//!
//! Below `agreement` and `offer`, which weigh one side's parameters against the other's, and above `header`, which knows
//! only syntax.

use std::mem;

use super::error::{ExtensionError, Parameter, ParameterError};
use super::header::{ExtensionReader, Param};

/// The parameters of one offer or answer, each well-formed by itself.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<u8>,
    /// The inner `None`: named without a value.
    pub(super) client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Reads all parameters of the extension last named. A broken grammar ends the handshake (outer error); a broken rule
    /// of RFC 7692 only spoils this offer (inner error), and the rest is still read for its grammar.
    pub(super) fn read(
        reader: &mut ExtensionReader<'_>,
    ) -> Result<Result<Self, ParameterError>, ExtensionError> {
        let mut result = Ok(Self::default());
        while let Some(param) = reader.next_param()? {
            result = result.and_then(|parameters| parameters.with(param));
        }
        Ok(result)
    }

    fn with(mut self, param: Param<'_>) -> Result<Self, ParameterError> {
        // Names compare byte by byte: neither RFC says that case does not matter.
        let parameter = Parameter::ALL.into_iter().find(|known| known.name().as_bytes() == param.name);
        let parameter = parameter.ok_or(ParameterError::Unknown)?;
        let repeated = match parameter {
            Parameter::ServerNoContextTakeover => {
                no_value(parameter, param)?;
                mem::replace(&mut self.server_no_context_takeover, true)
            }
            Parameter::ClientNoContextTakeover => {
                no_value(parameter, param)?;
                mem::replace(&mut self.client_no_context_takeover, true)
            }
            Parameter::ServerMaxWindowBits => {
                let bits = window_bits(parameter, param)?.ok_or(ParameterError::MissingValue(parameter))?;
                self.server_max_window_bits.replace(bits).is_some()
            }
            Parameter::ClientMaxWindowBits => {
                self.client_max_window_bits.replace(window_bits(parameter, param)?).is_some()
            }
        };
        if repeated { Err(ParameterError::Repeated(parameter)) } else { Ok(self) }
    }
}

fn no_value(parameter: Parameter, param: Param<'_>) -> Result<(), ParameterError> {
    match param.value {
        None => Ok(()),
        Some(_) => Err(ParameterError::UnexpectedValue(parameter)),
    }
}

fn window_bits(parameter: Parameter, param: Param<'_>) -> Result<Option<u8>, ParameterError> {
    let Some(value) = param.value else {
        return Ok(None);
    };
    value.window_bits().map(Some).ok_or(ParameterError::BadWindowBits(parameter))
}

/// Appends `; name`.
pub(super) fn append_flag(out: &mut Vec<u8>, parameter: Parameter) {
    out.extend_from_slice(b"; ");
    out.extend_from_slice(parameter.name().as_bytes());
}

/// Appends `; name=bits`.
pub(super) fn append_bits(out: &mut Vec<u8>, parameter: Parameter, bits: u8) {
    append_flag(out, parameter);
    out.push(b'=');
    if bits >= 10 {
        out.push(b'0' + bits / 10);
    }
    out.push(b'0' + bits % 10);
}

/// The extension's name in the header.
pub(super) const NAME: &[u8] = b"permessage-deflate";
