//! The control plane's defaults and rules, through the loading that `main` uses.

use std::fs;
use std::path::Path;

use tidegate_service::config::{Outline, Startup, load};

use super::*;
use crate::plan::{Platform, Switch};

fn load_with(settings: &[&str]) -> Result<Config, Vec<String>> {
    let flags = settings.iter().flat_map(|setting| ["--set", *setting]);
    let args = ["control-plane"].into_iter().chain(flags).map(Into::into);
    match load::<Config>(args, [("POD_NAME".into(), "pod-7".into())]) {
        Startup::Run(loaded) => Ok(loaded.config),
        Startup::Exit { code, stderr, .. } => {
            assert_eq!(code, 64);
            Err(stderr.lines().skip(1).map(|line| line.trim().to_owned()).collect())
        }
    }
}

#[track_caller]
fn assert_fault(settings: &[&str], part: &str) {
    let faults = load_with(settings).expect_err("a rule is broken");
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].contains(part), "{part} in {}", faults[0]);
}

#[test]
fn a_control_plane_that_is_told_nothing_is_alone_on_the_documented_ports() {
    let config = load_with(&[]).unwrap();
    assert_eq!(config.node.name, "pod-7");
    assert_eq!(config.api.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.admin.listen.to_string(), "0.0.0.0:9000");
    assert!(config.store.url.is_memory());
    assert!(!config.kubernetes.enabled, "no variable says that it runs in a pod");
}

#[test]
fn settings_that_cannot_go_together_are_refused() {
    assert_fault(&["election.renew=4s"], "third of the lease");
    assert_fault(&["api.listen=127.0.0.1:9000"], "both listen on port 9000");
    let (listen, cert) = ("external_metrics.listen=127.0.0.1:6443", "external_metrics.tls_cert_file=/c");
    let key = "external_metrics.tls_key_file=/k";
    assert_fault(&[listen, cert, "kubernetes.enabled=true"], "both are needed with external_metrics.listen");
    assert_fault(&[listen, cert, key], "set kubernetes.enabled");
    assert_fault(
        &[listen, cert, key, "kubernetes.enabled=true", "admin.listen=[::]:6443"],
        "both listen on port 6443",
    );
    assert_fault(&["bus.url=nats://127.0.0.1"], "share a store as well");
    assert_fault(&["store.url=postgres://x"], "memory: or redis://HOST:PORT");
    assert_fault(&["agents.urls=10.0.0.7:9000"], "http://HOST:PORT");
    assert_fault(&["node.name=a b"], "letters, digits");
    let redis = "store.url=redis://127.0.0.1";
    assert_fault(&[redis, "bus.token=0123456789abcdef", "bus.nkey_seed=SUX"], "one user of the bus");
}

#[test]
fn what_operations_may_ask_of_kubernetes_is_what_is_switched_on() {
    let platform = |settings: &[&str]| load_with(settings).unwrap().plan().platform;
    let kubernetes = "kubernetes.enabled=true";
    let on = |switches: &[Switch]| Platform::Kubernetes { on: switches.iter().copied().collect() };

    assert_eq!(platform(&["kubernetes.detach=true"]), Platform::Processes);
    assert_eq!(platform(&[kubernetes]), on(&[Switch::Evict, Switch::DeletionCost]));
    assert_eq!(
        platform(&[kubernetes, "kubernetes.detach=true", "kubernetes.scale=true", "kubernetes.evict=false"]),
        on(&[Switch::Detach, Switch::DeletionCost, Switch::Scale])
    );
}

#[test]
fn the_documented_keys_are_those_that_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/control-plane-configuration.md");
    let page = Config::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/control-plane-configuration.md is stale; run `make docs`");
}

#[test]
fn the_configurations_in_the_repository_are_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/control-plane.toml");
    let args = ["control-plane".into(), "--config".into(), path.into_os_string()];
    match load::<Config>(args, []) {
        Startup::Run(_) => {}
        Startup::Exit { stderr, .. } => panic!("{stderr}"),
    }
}

#[test]
fn the_documented_schema_of_the_chart_has_the_keys_that_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/schema/control-plane.json");
    let mut schema = serde_json::to_string_pretty(&Outline::of::<Config>().json_schema()).unwrap();
    schema.push('\n');
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == schema,
        "helm/schema/control-plane.json is stale; run `make docs`, then `scripts/chart generate`"
    );
}
