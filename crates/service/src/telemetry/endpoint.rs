//! Addresses of collectors.

use axum::http::Uri;

use super::Protocol;

/// Where OTLP over HTTP takes traces (OTLP specification, "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";

/// Whether `endpoint` is a URL that spans can be sent to.
///
/// # Errors
///
/// What is wrong with it, for the person who wrote it.
pub fn check_endpoint(endpoint: &str) -> Result<(), String> {
    const EXPECTED: &str = "expected a URL such as \"http://collector:4317\"";
    let url: Uri = endpoint.parse().map_err(|error| format!("found {endpoint:?} ({error}), {EXPECTED}"))?;
    match url.scheme_str() {
        Some("http") => {}
        Some("https") => {
            let why =
                "TLS is not spoken here: send to a collector on the node or beside the pod, over http://";
            return Err(format!("found {endpoint:?}: {why}"));
        }
        _ => return Err(format!("found {endpoint:?}, {EXPECTED}")),
    }
    if url.authority().is_none_or(|authority| authority.as_str().contains('@')) || url.query().is_some() {
        return Err(format!("found {endpoint:?}, {EXPECTED} without credentials and query"));
    }
    Ok(())
}

/// The URL that the exporter is given.
pub(super) fn full_endpoint(endpoint: &str, protocol: Protocol) -> String {
    let base = endpoint.trim_end_matches('/');
    match protocol {
        Protocol::HttpProtobuf if !base.ends_with(TRACES_PATH) => format!("{base}{TRACES_PATH}"),
        Protocol::HttpProtobuf | Protocol::Grpc => base.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_http_url_without_secrets() {
        for good in ["http://127.0.0.1:4317", "http://collector:4318/", "http://[::1]:4318/v1/traces"] {
            assert_eq!(check_endpoint(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "expected a URL"),
            ("collector:4317", "expected a URL"),
            ("grpc://collector:4317", "expected a URL"),
            ("/v1/traces", "expected a URL"),
            ("https://collector:4317", "TLS is not spoken"),
            ("http://user:word@collector:4317", "without credentials"),
            ("http://collector:4317?key=word", "without credentials"),
        ] {
            let message = check_endpoint(bad).expect_err(bad);
            assert!(message.contains(why), "{bad}: {message}");
        }
    }

    #[test]
    fn the_path_of_traces_is_added_for_http_only() {
        for (endpoint, protocol, full) in [
            ("http://a:4318", Protocol::HttpProtobuf, "http://a:4318/v1/traces"),
            ("http://a:4318/", Protocol::HttpProtobuf, "http://a:4318/v1/traces"),
            ("http://a:4318/otlp", Protocol::HttpProtobuf, "http://a:4318/otlp/v1/traces"),
            ("http://a:4318/v1/traces", Protocol::HttpProtobuf, "http://a:4318/v1/traces"),
            ("http://a:4317/", Protocol::Grpc, "http://a:4317"),
        ] {
            assert_eq!(full_endpoint(endpoint, protocol), full);
        }
    }
}
