//! One question to a Redis of a test, over a connection of its own.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::DEADLINE;

/// A connection to ask over.
pub(super) trait Connection: Read + Write {}

impl Connection for TcpStream {}
impl Connection for UnixStream {}

/// Over TCP, where nothing else is offered.
pub(super) fn over_tcp(port: u16) -> Result<TcpStream, String> {
    let connection = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    connection.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
    Ok(connection)
}

/// Over a socket in the server's folder: in the clear, whatever its ports speak.
pub(super) fn over_socket(path: &Path) -> Result<UnixStream, String> {
    let connection = UnixStream::connect(path).map_err(|error| error.to_string())?;
    connection.set_read_timeout(Some(DEADLINE)).expect("the deadline is not zero");
    Ok(connection)
}

/// Sends a command, as a user if one is given; the answer's elements in order, those of inner lists as well.
pub(super) fn ask(
    mut connection: impl Connection,
    user: Option<&(String, String)>,
    words: &[&str],
) -> Result<Vec<String>, String> {
    let mut request = String::new();
    if let Some((name, password)) = user {
        request.push_str(&encode(&["AUTH", name, password]));
    }
    request.push_str(&encode(words));
    connection.write_all(request.as_bytes()).map_err(|error| error.to_string())?;

    let mut replies = BufReader::new(connection);
    if user.is_some() {
        decode(&mut replies)?;
    }
    decode(&mut replies)
}

fn encode(words: &[&str]) -> String {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        write!(request, "${}\r\n{word}\r\n", word.len()).expect("a string takes whatever is written");
    }
    request
}

/// One reply of RESP2.
fn decode(replies: &mut impl BufRead) -> Result<Vec<String>, String> {
    let mut line = String::new();
    replies.read_line(&mut line).map_err(|error| error.to_string())?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or("the connection ended")?;
    match kind {
        "+" | ":" => Ok(vec![rest.to_owned()]),
        "-" => Err(rest.to_owned()),
        "$" if rest == "-1" => Ok(vec![String::new()]),
        "$" => {
            let length: usize = rest.parse().map_err(|_| format!("no length: {line}"))?;
            let mut bytes = vec![0; length + 2];
            replies.read_exact(&mut bytes).map_err(|error| error.to_string())?;
            Ok(vec![String::from_utf8_lossy(&bytes[..length]).into_owned()])
        }
        "*" => {
            let count: usize = rest.parse().unwrap_or(0);
            let elements = (0..count).map(|_| decode(replies)).collect::<Result<Vec<_>, _>>()?;
            Ok(elements.concat())
        }
        _ => Err(format!("no reply of RESP2: {line}")),
    }
}
