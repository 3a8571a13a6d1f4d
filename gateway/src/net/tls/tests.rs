use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::sync::Notify;

use super::reload::ReloadOutcome;
use super::testing::*;
use super::*;

/// Completes one handshake against `server` and returns the certificate the client saw.
fn served_certificate(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> (Vec<u8>, HandshakeKind) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::clone(server);
    let serving = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut session = TlsSession::new(&server).unwrap();
        let mut buf = [0; 16];
        assert_eq!(session.try_read(&mut socket, &mut buf).unwrap(), 4);
        assert_eq!(session.try_write(&mut socket, &buf[..4]).unwrap(), 4);
        // Until the client is gone: it has read the tickets then.
        assert_eq!(session.try_read(&mut socket, &mut buf).unwrap(), 0);
    });
    let mut client = connect(address, client);
    client.write_all(b"ping").unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    let certificate = client.conn.peer_certificates().unwrap()[0].to_vec();
    let kind = client.conn.handshake_kind().unwrap();
    finish(&mut client).unwrap();
    serving.join().unwrap();
    (certificate, kind)
}

fn year_start(year: u64) -> SystemTime {
    // Good for 2030 to 2050, with a leap day in every fourth year.
    let days = (year - 1970) * 365 + (year - 1969) / 4;
    SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400)
}

#[test]
fn a_changed_pair_serves_new_handshakes_with_the_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (test_pair_until(2040), test_pair_until(2041));
    let (certificates, mut reloader) = TlsReloader::load(write_pair(folder.path(), &old)).unwrap();
    let server = server_config(Arc::clone(&certificates)).unwrap();
    assert_eq!(served_certificate(&server, &Arc::new(test_client(&old))).0, old.cert.as_ref());
    assert_eq!(certificates.not_after(), Some(year_start(2040)));
    assert!(matches!(reloader.look(), ReloadOutcome::Unchanged));

    write_pair(folder.path(), &new);
    assert!(matches!(reloader.look(), ReloadOutcome::Reloaded));
    assert_eq!(served_certificate(&server, &Arc::new(test_client(&new))).0, new.cert.as_ref());
    assert_eq!(certificates.not_after(), Some(year_start(2041)));
    assert_eq!((certificates.reloaded_total(), certificates.failed_total()), (1, 0));
    assert!(matches!(reloader.look(), ReloadOutcome::Unchanged));
}

#[test]
fn a_swapped_kubernetes_secret_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str, pair: &TestPair| {
        fs::create_dir(folder.path().join(name)).unwrap();
        write_pair(&folder.path().join(name), pair);
    };
    version("..1", &test_pair());
    symlink("..1", folder.path().join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
    }
    let files =
        TlsFiles { cert_file: folder.path().join("tls.crt"), key_file: folder.path().join("tls.key") };
    let (_certificates, mut reloader) = TlsReloader::load(files).unwrap();

    version("..2", &test_pair());
    symlink("..2", folder.path().join("..new")).unwrap();
    fs::rename(folder.path().join("..new"), folder.path().join("..data")).unwrap();
    assert!(matches!(reloader.look(), ReloadOutcome::Reloaded));
}

#[test]
fn a_bad_new_pair_is_reported_once_and_the_old_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (test_pair_until(2040), test_pair_until(2041));
    let files = write_pair(folder.path(), &old);
    let (certificates, mut reloader) = TlsReloader::load(files.clone()).unwrap();
    let server = server_config(Arc::clone(&certificates)).unwrap();

    // Half of an exchange that is not atomic: certificate first, key later.
    fs::write(&files.cert_file, &new.cert_pem).unwrap();
    assert!(matches!(reloader.look(), ReloadOutcome::Failed(TlsFileError::Mismatch { .. })));
    assert!(matches!(reloader.look(), ReloadOutcome::Unchanged));
    fs::remove_file(&files.key_file).unwrap();
    assert!(matches!(reloader.look(), ReloadOutcome::Failed(TlsFileError::Unreadable { .. })));
    assert!(matches!(reloader.look(), ReloadOutcome::Unchanged));
    assert_eq!((certificates.reloaded_total(), certificates.failed_total()), (0, 2));
    assert_eq!(certificates.not_after(), Some(year_start(2040)));
    assert_eq!(served_certificate(&server, &Arc::new(test_client(&old))).0, old.cert.as_ref());

    fs::write(&files.key_file, &new.key_pem).unwrap();
    assert!(matches!(reloader.look(), ReloadOutcome::Reloaded));
    assert_eq!(served_certificate(&server, &Arc::new(test_client(&new))).0, new.cert.as_ref());
}

/// Runs the watching task until it has exchanged the certificate.
async fn run_until_reloaded(interval: Duration, on_demand: Option<Arc<Notify>>) {
    let folder = tempfile::tempdir().unwrap();
    let (certificates, reloader) = TlsReloader::load(write_pair(folder.path(), &test_pair())).unwrap();
    let notify = on_demand.clone().unwrap_or_default();
    let task = tokio::spawn(reloader.run(interval, notify));
    write_pair(folder.path(), &test_pair());
    let reloaded = async {
        while certificates.reloaded_total() == 0 {
            if let Some(notify) = &on_demand {
                notify.notify_one();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reloaded).await.unwrap();
    task.abort();
}

#[tokio::test]
async fn the_watching_task_looks_at_every_interval() {
    run_until_reloaded(Duration::from_millis(1), None).await;
}

#[tokio::test]
async fn the_watching_task_looks_on_demand() {
    run_until_reloaded(Duration::from_secs(3600), Some(Arc::default())).await;
}

#[test]
fn each_fault_at_start_names_the_key_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = write_pair(folder.path(), &test_pair());
    let other = test_pair();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let bad_base64 = "-----BEGIN PRIVATE KEY-----\n!secret!\n-----END PRIVATE KEY-----\n";
    let large = "x".repeat(1 << 20 | 1);
    let cases: [(&Path, &str, &str); 9] = [
        (&files.cert_file, "", "client.tls.cert_file"),
        (&files.cert_file, &other.key_pem, "holds no CERTIFICATE"),
        (&files.cert_file, "-----BEGIN CERTIFICATE-----\nAAAA\n", "no END line"),
        (&files.cert_file, &large, "larger than 1 MiB"),
        (&files.key_file, &other.key_pem, "does not belong to the first certificate"),
        (&files.key_file, encrypted, "no unencrypted PRIVATE KEY"),
        (&files.key_file, &other.cert_pem, "no unencrypted PRIVATE KEY"),
        (&files.key_file, not_a_key, "client.tls.key_file"),
        (&files.key_file, bad_base64, "not valid base64"),
    ];
    for (path, content, expected) in cases {
        let good = fs::read(path).unwrap();
        fs::write(path, content).unwrap();
        let error = TlsReloader::load(files.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(!error.contains("secret"), "{error}");
        fs::write(path, good).unwrap();
    }
    assert!(TlsReloader::load(files.clone()).is_ok());

    fs::remove_file(&files.cert_file).unwrap();
    let error = TlsReloader::load(files.clone()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("client.tls.cert_file = {}: ", files.cert_file.display())), "{error}");
}

#[test]
fn a_returning_client_resumes_without_state_on_the_server() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let pair = test_pair();
        let server = test_server(&pair);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pair.cert.clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Arc::new(client);
        assert_eq!(served_certificate(&server, &client).1, HandshakeKind::Full, "{version:?}");
        assert_eq!(served_certificate(&server, &client).1, HandshakeKind::Resumed, "{version:?}");
        assert!(!server.session_storage.can_cache());
    }
}

#[test]
fn early_data_is_never_offered() {
    assert_eq!(test_server(&test_pair()).max_early_data_size, 0);
}
