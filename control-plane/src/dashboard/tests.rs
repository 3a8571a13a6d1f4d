use super::*;

#[test]
fn every_part_that_the_page_names_is_served() {
    for asset in &ASSETS {
        for name in named_by(asset) {
            assert!(ASSETS.iter().any(|other| other.path == name), "{} names {name}", asset.path);
        }
    }
}

#[test]
fn every_part_that_is_served_is_named_by_another_one() {
    for asset in ASSETS.iter().filter(|asset| asset.path != "/") {
        assert!(
            ASSETS.iter().any(|other| named_by(other).contains(&asset.path.to_owned())),
            "{}",
            asset.path
        );
    }
}

#[test]
fn nothing_in_the_page_needs_another_server_or_a_weaker_policy() {
    for asset in &ASSETS {
        let text = asset.text.replace("http://www.w3.org/2000/svg", "");
        for banned in BANNED {
            assert!(!text.contains(banned), "{} has {banned}", asset.path);
        }
        assert!(
            text.split("<script")
                .skip(1)
                .all(|script| script.contains("></script>") && script.contains("src="))
        );
    }
}

#[test]
fn each_part_comes_with_the_policy_and_is_not_cached() {
    for asset in &ASSETS {
        let response = asset.into_response();

        let header = |name| response.headers()[name].to_str().expect("all of them are ASCII").to_owned();
        assert_eq!(header(header::CONTENT_TYPE), asset.media_type);
        assert_eq!(header(header::CACHE_CONTROL), "no-store");
        assert_eq!(header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        let policy = header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    }
}

const BANNED: [&str; 8] =
    ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", " style=", "<style"];

/// Paths of other parts in a part: where HTML loads them (`"dashboard/…"`) or a module imports them (`"./…"`).
fn named_by(asset: &Asset) -> Vec<String> {
    let quoted = asset.text.split('"').filter(|text| text.ends_with(".js") || text.ends_with(".css"));
    quoted
        .map(|name| format!("/dashboard/{}", name.trim_start_matches("./").trim_start_matches("dashboard/")))
        .collect()
}
