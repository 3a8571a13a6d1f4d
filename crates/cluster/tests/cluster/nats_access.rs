//! Who a node is to its NATS servers: each way to say so works, and none is shown.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tidegate_cluster::nats::{Credentials, NatsConfig};
use tidegate_testkit::{Certificate, NatsServer};

use crate::nats_ends::{End, config, publication};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_a_password_comes_in() {
    let server = NatsServer::builder().config("authorization { user: me, password: \"s3:cret\" }").start();
    let in_url = config(&server.url().replace("//", "//me:s3%3Acret@"));
    works(in_url).await;
    let credentials = Credentials::Password { user: "me".into(), password: "s3:cret".into() };
    works(NatsConfig { credentials, ..config(&server.url()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_comes_in() {
    let server = NatsServer::builder().config("authorization { token: t0ken }").start();
    works(config(&server.url().replace("//", "//t0ken@"))).await;
    works(NatsConfig { credentials: Credentials::Token("t0ken".into()), ..config(&server.url()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nkey_comes_in() {
    let user = KeyPair::new_user();
    let users = format!("authorization {{ users = [ {{ nkey: {} }} ] }}", user.public_key());
    let server = NatsServer::builder().config(&users).start();
    let credentials = Credentials::NkeySeed(user.seed().unwrap());
    works(NatsConfig { credentials, ..config(&server.url()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credentials_file_comes_in() {
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let operator_jwt = jwt(&operator, &operator, &json!({ "type": "operator", "version": 2 }));
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1,
        "wildcards": true });
    let account_jwt = jwt(&operator, &account, &json!({ "type": "account", "version": 2, "limits": limits }));
    let user_claims = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let user_jwt = jwt(&account, &user, &user_claims);
    let resolver = format!(
        "operator: {operator_jwt}\nresolver: MEMORY\nresolver_preload: {{ {}: {account_jwt} }}",
        account.public_key()
    );
    let server = NatsServer::builder().config(&resolver).start();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.creds");
    let seed = user.seed().unwrap();
    let text = format!(
        "-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    );
    fs::write(&path, text).unwrap();
    works(NatsConfig { credentials: Credentials::File(path), ..config(&server.url()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_encrypted_by_a_server_of_the_ca_file() {
    let certificate = Certificate::generate();
    let server = NatsServer::builder().tls(&certificate).start();
    let folder = tempfile::tempdir().unwrap();
    certificate.write_to(folder.path());
    let url = format!("tls://localhost:{}", server.port());
    works(NatsConfig { tls_ca_file: Some(folder.path().join("cert.pem")), ..config(&url) }).await;

    let other = tempfile::tempdir().unwrap();
    Certificate::generate().write_to(other.path());
    let stranger = NatsConfig { tls_ca_file: Some(other.path().join("cert.pem")), ..config(&url) };
    let fault = stays_out(stranger).await;
    assert!(!fault.is_empty(), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_let_in_stays_down_and_says_why_without_the_secret() {
    let server = NatsServer::builder().config("authorization { user: me, password: right }").start();
    let fault = stays_out(config(&server.url().replace("//", "//me:s3cret@"))).await;
    assert!(fault.to_lowercase().contains("authorization"), "{fault}");
    assert!(!fault.contains("s3cret"));
}

/// Comes up, and carries a message.
async fn works(config: NatsConfig) {
    let end = End::start(config, "n1").await;
    end.subscribe("chat:a").await;
    end.publish("chat:a", "1").await.expect("the bus is up");
    assert_eq!(end.next().await, publication("chat:a", "1"));
}

/// Tries, in vain. Gives the reason.
async fn stays_out(config: NatsConfig) -> String {
    let end = End::start_down(config, "n1").await;
    end.until_stats("a fault", |_| end.bus.last_fault().is_some()).await;
    assert!(!end.bus.state().borrow().is_reachable());
    end.bus.last_fault().expect("it was waited for")
}

/// Claims of `about`, signed by `issuer`, as NATS writes them.
fn jwt(issuer: &KeyPair, about: &KeyPair, nats: &Value) -> String {
    let claims = json!({ "jti": "test", "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "test",
        "sub": about.public_key(), "nats": nats });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let body = format!("{}.{}", encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" })), encode(&claims));
    let signature = issuer.sign(body.as_bytes()).expect("it has its seed");
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}
