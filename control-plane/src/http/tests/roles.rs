//! Who may do what, and the audit of it.

use super::*;
use crate::http::call::{Access, Call, Effect};

/// A path of a call that is there, without a body that it would take.
fn request_of(call: Call) -> Option<(&'static str, String)> {
    let (method, path) = call.row().path?;
    let path = path.replace("{id}", "a").replace("{node}", "gw-1").replace("{pod}", "gw-1");
    Some((method, path))
}

#[test]
fn each_call_needs_its_role_and_takes_no_other_token() {
    let api = Running::start();
    for call in Call::ALL {
        let Some((method, path)) = request_of(call) else { continue };
        let Access::Needs(needed) = call.row().access else { panic!("{path} is open to everyone") };

        let nobody = api.ask(method, &path, "", "");
        nobody.problem(401, "unauthorized");
        assert_eq!(nobody.header("www-authenticate"), Some(r#"Bearer realm="tidegate""#));
        let stranger = api.ask(method, &path, "Authorization: Bearer of-nobody-at-all\r\n", "");
        stranger.problem(401, "unauthorized");
        assert!(stranger.header("www-authenticate").unwrap().contains("invalid_token"));
        for (name, role) in [("vera", Role::View), ("otto", Role::Operate), ("ada", Role::Admin)] {
            // Streams would not end; that they can be opened is shown elsewhere.
            let is_stream = path.ends_with("/events");
            if role < needed {
                let problem = api.ask(method, &path, &bearer(name), "").problem(403, "forbidden");
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains(name) && detail.contains(&needed.to_string()), "{detail}");
            } else if !is_stream {
                let status = api.ask(method, &path, &bearer(name), "").status;
                assert!(status != 401 && status != 403, "{name}: {method} {path}: {status}");
            }
        }
    }
    assert!(api.metric("tidegate_api_credentials_total{result=\"unknown\"}").unwrap() > 10.0);
    assert!(api.metric("tidegate_api_credentials_total{result=\"none\"}").unwrap() > 10.0);
}

#[test]
fn only_what_changes_something_needs_more_than_looking() {
    for call in Call::ALL {
        let row = call.row();
        let looks = matches!(row.access, Access::Open | Access::Needs(Role::View));
        assert_eq!(looks, row.effect == Effect::Looks, "{}", row.name);
    }
}

#[test]
fn forcing_needs_an_admin_wherever_it_stands() {
    let api = Running::start();
    let headers = format!("{}Content-Type: application/json\r\n", bearer("otto"));
    let drain = r#"{"kind":"drain","targets":{"all":true}}"#;
    api.ask("PUT", "/v1/operations/a", &headers, drain).json(201);

    api.ask("PUT", "/v1/operations/b?force=true", &headers, drain).problem(403, "forbidden");
    let forced = drain.replace("\"kind\"", "\"force\":true,\"kind\"");
    api.ask("PUT", "/v1/operations/b", &headers, &forced).problem(403, "forbidden");
    api.ask("POST", "/v1/operations?force=true", &headers, drain).problem(403, "forbidden");
    api.ask("POST", "/v1/operations/a:force", &headers, "").problem(403, "forbidden");
    assert_eq!(api.fake.asked(), ["put a by otto"]);
    let vera = format!("{}Content-Type: application/json\r\n", bearer("vera"));
    api.ask("POST", "/v1/operations:plan?force=true", &vera, drain).json(200);
}

#[test]
fn nobody_in_particular_may_look_where_that_is_switched_on() {
    let open = Auth { anonymous_view: true, ..auth() };
    let api = Running::with(ApiLimits::default(), &open, None);

    api.ask("GET", "/v1/cluster", "", "").json(200);
    let problem = api.ask("POST", "/v1/nodes/gw-1:cordon", "", "").problem(403, "forbidden");
    assert!(problem["detail"].as_str().unwrap().starts_with("anonymous has the role `view`"), "{problem}");
    // A wrong token is a mistake that is told, not the same as none.
    api.ask("GET", "/v1/cluster", "Authorization: Bearer of-nobody-at-all\r\n", "")
        .problem(401, "unauthorized");
}

#[test]
fn pages_are_open_to_everyone() {
    let api = Running::start();
    for path in ["/", "/docs", "/openapi.json"] {
        assert_eq!(api.ask("GET", path, "", "").status, 200, "{path}");
    }
}

#[test]
fn an_answer_tells_the_callers_role() {
    let api = Running::start();
    for (name, role) in [("vera", "view"), ("otto", "operate"), ("ada", "admin")] {
        for path in ["/v1/cluster", "/v1/nodes/none"] {
            assert_eq!(api.ask("GET", path, &bearer(name), "").header("tidegate-role"), Some(role), "{path}");
        }
    }
    assert_eq!(api.ask("GET", "/v1/cluster", "", "").header("tidegate-role"), None);
    assert_eq!(api.get("/docs").header("tidegate-role"), None);
}
