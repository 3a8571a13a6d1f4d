//! Tokens of files and of service accounts.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use tidegate_service::config::Secret;
use tidegate_service::metrics::{BuildInfo, Metrics};

use super::review::REMEMBERED_MAX;
use super::*;
use crate::http::tests::PATIENCE;

const LONG_ENOUGH: &str = "0123456789abcdef";

fn token(name: &str, secret: &str) -> AuthToken {
    let token = Some(Secret::new(secret));
    AuthToken { name: name.to_owned(), role: Role::Operate, token, token_file: None }
}

fn in_file(name: &str, path: &Path) -> AuthToken {
    AuthToken { token: None, token_file: Some(path.to_owned()), ..token(name, "") }
}

fn auth(tokens: Vec<AuthToken>) -> Auth {
    Auth { anonymous_view: false, tokens, subjects: Vec::new() }
}

fn metrics() -> ApiMetrics {
    ApiMetrics::register(&mut Metrics::new(&BuildInfo { program: "test", version: "1" }))
}

fn headers(authorization: &[&str]) -> HeaderMap {
    authorization.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap())).collect()
}

/// Who is found behind an `Authorization`.
async fn who(authenticator: &Authenticator, authorization: &[&str]) -> Option<String> {
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    let found = authenticator.identify(&headers(authorization), from, &metrics()).await;
    found.ok().map(|caller| format!("{} {}", caller.name, caller.role))
}

#[tokio::test]
async fn a_token_is_found_whole_and_only_whole() {
    let authenticator =
        Authenticator::new(&auth(vec![token("otto", LONG_ENOUGH), token("eve", "fedcba9876543210")]), None)
            .unwrap();

    let otto = Some("otto operate".to_owned());
    assert_eq!(who(&authenticator, &["Bearer 0123456789abcdef"]).await, otto);
    assert_eq!(who(&authenticator, &["bEARER 0123456789abcdef"]).await, otto);
    for wrong in ["Bearer 0123456789abcde", "Bearer 0123456789ABCDEF", "Bearer", "Basic 0123456789abcdef", ""]
    {
        assert_eq!(who(&authenticator, &[wrong]).await, None, "{wrong}");
    }
    let twice = ["Bearer 0123456789abcdef", "Bearer fedcba9876543210"];
    assert_eq!(who(&authenticator, &twice).await, None, "two tokens are none");
    assert_eq!(who(&authenticator, &[]).await, None);
}

#[tokio::test]
async fn credentials_may_be_so_long() {
    let longest = "t".repeat(CREDENTIALS_BYTES_MAX - "Bearer ".len());
    let longer = longest.clone() + "t";
    let authenticator =
        Authenticator::new(&auth(vec![token("long", &longest), token("longer", &longer)]), None).unwrap();

    let presented = |token: &str| format!("Bearer {token}");
    assert!(who(&authenticator, &[&presented(&longest)]).await.is_some());
    assert!(who(&authenticator, &[&presented(&longer)]).await.is_none());
}

#[test]
fn a_token_that_cannot_be_used_is_told_by_its_place() {
    let error = |tokens| Authenticator::new(&auth(tokens), None).unwrap_err().to_string();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "short\n").unwrap();

    assert_eq!(
        error(vec![token("a", &LONG_ENOUGH[1..])]),
        "auth.tokens[0].token: found 15 bytes, expected at least 16"
    );
    assert_eq!(
        error(vec![in_file("a", &file)]),
        "auth.tokens[0].token_file: found 5 bytes, expected at least 16"
    );
    assert!(
        error(vec![in_file("a", Path::new("/does/not/exist"))])
            .starts_with("auth.tokens[0].token_file: /does/not/exist cannot be read")
    );
    assert_eq!(
        error(vec![token("a", LONG_ENOUGH), token("b", LONG_ENOUGH)]),
        "auth.tokens[1]: the same token as that of \"a\""
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_file_is_read_again_and_a_bad_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, "first-token-0123\r\n").unwrap();
    let authenticator = Arc::new(Authenticator::new(&auth(vec![in_file("otto", &file)]), None).unwrap());
    let (fresh, counters) = (Arc::clone(&authenticator), metrics());
    let watched = counters.clone();
    tokio::spawn(async move { fresh.keep_fresh(&counters).await });
    assert!(who(&authenticator, &["Bearer first-token-0123"]).await.is_some());

    fs::write(&file, "second-token-0123").unwrap();
    while who(&authenticator, &["Bearer second-token-0123"]).await.is_none() {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert!(who(&authenticator, &["Bearer first-token-0123"]).await.is_none());

    fs::remove_file(&file).unwrap();
    let start = std::time::Instant::now();
    while watched.reload_failures() < 2 {
        assert!(start.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert!(who(&authenticator, &["Bearer second-token-0123"]).await.is_some());
}

/// An API server that knows the tokens `ann` and `bob`, and counts how often it was asked.
#[derive(Default)]
struct Server {
    asked: Mutex<usize>,
}

impl TokenReviewer for Server {
    fn review<'a>(&'a self, token: &'a str) -> Reviewing<'a> {
        *self.asked.lock().unwrap() += 1;
        Box::pin(async move {
            match token {
                "ann" | "bob" => {
                    Ok(Some(Reviewed { user: token.to_owned(), groups: vec!["staff".to_owned()] }))
                }
                "away" => Err(ReviewError("no connection".to_owned())),
                _ => Ok(None),
            }
        })
    }
}

fn subject(name: &str, role: Role) -> AuthSubject {
    AuthSubject { name: name.to_owned(), role }
}

#[tokio::test]
async fn a_service_account_has_the_highest_role_of_its_names() {
    let subjects =
        vec![subject("staff", Role::View), subject("ann", Role::Admin), subject("ann", Role::Operate)];
    let config = Auth { subjects, ..auth(vec![token("otto", LONG_ENOUGH)]) };
    let server = Arc::<Server>::default();
    let reviewer = Arc::clone(&server) as Arc<dyn TokenReviewer>;
    let authenticator = Authenticator::new(&config, Some(reviewer)).unwrap();

    assert_eq!(who(&authenticator, &["Bearer ann"]).await.as_deref(), Some("ann admin"));
    assert_eq!(who(&authenticator, &["Bearer bob"]).await.as_deref(), Some("bob view"));
    assert_eq!(who(&authenticator, &["Bearer carl"]).await, None);
    assert_eq!(who(&authenticator, &["Bearer 0123456789abcdef"]).await.as_deref(), Some("otto operate"));
    for _ in 0..3 {
        who(&authenticator, &["Bearer ann"]).await;
        who(&authenticator, &["Bearer carl"]).await;
    }
    assert_eq!(*server.asked.lock().unwrap(), 3, "answers are remembered, and own tokens not asked about");

    for _ in 0..2 {
        let found = authenticator
            .identify(&headers(&["Bearer away"]), SocketAddr::from(([127, 0, 0, 1], 1)), &metrics())
            .await;
        assert!(format!("{:?}", found.unwrap_err()).contains("503"));
    }
    assert_eq!(*server.asked.lock().unwrap(), 5, "a failure is not remembered");
}

#[tokio::test]
async fn someone_without_a_role_is_nobody() {
    let reviewer = Arc::<Server>::default() as Arc<dyn TokenReviewer>;
    let authenticator = Authenticator::new(&auth(Vec::new()), Some(reviewer)).unwrap();
    assert_eq!(who(&authenticator, &["Bearer ann"]).await, None);
}

#[tokio::test]
async fn only_so_many_answers_are_remembered() {
    let reviews = Reviews::new(Arc::<Server>::default(), &[]);
    for number in 0..REMEMBERED_MAX {
        reviews.holder(&number.to_string()).await.unwrap();
    }
    assert_eq!(reviews.remembered_now(), REMEMBERED_MAX);
    reviews.holder("one more").await.unwrap();
    assert_eq!(reviews.remembered_now(), REMEMBERED_MAX);
}

#[test]
fn no_token_is_shown_by_debugging() {
    let config = auth(vec![token("otto", LONG_ENOUGH)]);
    let authenticator = Authenticator::new(&config, None).unwrap();
    assert!(!format!("{authenticator:?} {config:?}").contains(LONG_ENOUGH));
}
