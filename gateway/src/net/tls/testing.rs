//! Certificates and clients for the tests of everything that has TLS in it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use super::{TlsFiles, TlsReloader, provider, server_config};

/// Longer than any test may take; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A self-signed certificate for `localhost` with its key.
pub(crate) struct TestPair {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    pub(crate) cert: CertificateDer<'static>,
}

pub(crate) fn test_pair() -> TestPair {
    test_pair_until(2040)
}

pub(crate) fn test_pair_until(year: i32) -> TestPair {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let cert = params.self_signed(&key).unwrap();
    TestPair { cert_pem: cert.pem(), key_pem: key.serialize_pem(), cert: cert.der().clone() }
}

/// Writes the pair as `tls.crt` and `tls.key`.
pub(crate) fn write_pair(folder: &Path, pair: &TestPair) -> TlsFiles {
    let files = TlsFiles { cert_file: folder.join("tls.crt"), key_file: folder.join("tls.key") };
    fs::write(&files.cert_file, &pair.cert_pem).unwrap();
    fs::write(&files.key_file, &pair.key_pem).unwrap();
    files
}

pub(crate) fn test_server(pair: &TestPair) -> Arc<ServerConfig> {
    let folder = tempfile::tempdir().unwrap();
    let (certificates, _reloader) = TlsReloader::load(write_pair(folder.path(), pair)).unwrap();
    server_config(certificates).unwrap()
}

/// A client that trusts `pair` and nothing else.
pub(crate) fn test_client(pair: &TestPair) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A blocking TLS client. Its handshake happens at the first read or write.
pub(crate) type TestClient = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> TestClient {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let name = "localhost".try_into().unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket)
}

/// Reads until the orderly end of the stream, which for TLS is a `close_notify`.
pub(crate) fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Ends a client's side as a well-behaved one does: `close_notify` and FIN.
pub(crate) fn finish(client: &mut TestClient) -> io::Result<()> {
    client.conn.send_close_notify();
    client.flush()?;
    client.sock.shutdown(std::net::Shutdown::Write)
}
