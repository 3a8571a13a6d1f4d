//! Good tokens of every algorithm, and everything that can be wrong with one.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tidegate_protocol::error::ErrorCode;
use tidegate_protocol::limits::TOKEN_BYTES_MAX;
use tidegate_service::config::Choice;

use super::testing::{Signer, jwt};
use super::*;
use crate::config::auth::{Algorithm, JwtKey};

/// Unix time of the tests: in seconds, and as the verifier is told.
const NOW_S: u64 = 1_700_000_000;
const NOW: Millis = Millis::new(NOW_S * 1_000);

fn verifier(signers: &[&Signer]) -> Verifier {
    verifier_with(signers, |_| {})
}

fn verifier_with(signers: &[&Signer], change: impl FnOnce(&mut Jwt)) -> Verifier {
    let folder = tempfile::tempdir().unwrap();
    let mut config = jwt(signers.iter().map(|signer| signer.config(folder.path())).collect());
    change(&mut config);
    Verifier::new(&config, None).unwrap()
}

fn hs256() -> Signer {
    Signer::new(Algorithm::Hs256)
}

/// The refusal of a rightly signed token with these claims.
fn refusal(claims: &Value) -> TokenError {
    let signer = hs256();
    let token = signer.sign(claims);
    let error = verifier(&[&signer]).verify(&token, NOW).unwrap_err();
    assert_hides(&error, &token);
    error
}

/// A refusal is shown to people and logged, so no part of the token may be in it.
fn assert_hides(error: &TokenError, token: &str) {
    let message = error.to_string();
    for part in token.split('.').filter(|part| part.len() > 4) {
        assert!(!message.contains(part), "{message}");
    }
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_token_of_every_algorithm_is_verified_and_one_changed_bit_is_not() {
    for (algorithm, name) in Algorithm::ALL {
        let signer = Signer::new(*algorithm);
        let verifier = verifier(&[&signer]);
        let token = signer.sign(&json!({ "sub": "ann" }));

        assert_eq!(&*verifier.verify(&token, NOW).expect(name).user, "ann");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{message}.{flipped}{}", &signature[1..]);
        assert_eq!(verifier.verify(&forged, NOW).unwrap_err(), TokenError::BadSignature, "{name}");
        let other = Signer::new(*algorithm).sign(&json!({ "sub": "ann" }));
        assert_eq!(verifier.verify(&other, NOW).unwrap_err(), TokenError::BadSignature, "{name}");
    }
}

#[test]
fn everything_that_a_token_grants_is_read() {
    let signer = hs256();
    let claims = json!({
        "sub": "ann", "exp": NOW_S + 60, "nbf": NOW_S - 1, "iat": NOW_S - 2, "jti": "t-1", "unknown": [1],
        "tidegate": {
            "subscribe": ["chat:*"], "publish": ["chat:1"], "channels": ["news", "chat:1"],
            "info": { "name": "Ann" }, "later": true,
        },
    });

    let verified = verifier(&[&signer]).verify(&signer.sign(&claims), NOW).unwrap();

    assert_eq!(&*verified.user, "ann");
    assert_eq!(verified.expires_at, Some(Millis::new((NOW_S + 90) * 1_000)), "exp and the leeway");
    assert_eq!(verified.token_id.as_deref(), Some("t-1"));
    assert!(verified.permissions.subscribe[0].matches("chat:9"));
    assert!(!verified.permissions.publish[0].matches("chat:9"));
    let channels: Vec<_> = verified.channels.iter().map(ChannelName::as_str).collect();
    assert_eq!(channels, ["news", "chat:1"]);
    assert_eq!(verified.info.unwrap().as_str(), r#"{"name":"Ann"}"#);
}

#[test]
fn info_on_several_lines_becomes_one() {
    let signer = hs256();
    let claims = "{\"tidegate\":{\"info\":{\n  \"name\":\r\n \"An\\nn\"}}}";
    let token = signer.sign_parts(r#"{"alg":"HS256"}"#, claims);

    let info = verifier(&[&signer]).verify(&token, NOW).unwrap().info.unwrap();

    assert!(!info.as_str().contains(['\n', '\r']));
    assert_eq!(serde_json::from_str::<Value>(info.as_str()).unwrap(), json!({ "name": "An\nn" }));
}

#[test]
fn a_token_without_user_and_end_is_anonymous_and_lasts() {
    let signer = hs256();
    let verified = verifier(&[&signer]).verify(&signer.sign(&json!({})), NOW).unwrap();

    assert_eq!((&*verified.user, verified.expires_at, verified.token_id), ("", None, None));
}

#[test]
fn an_unsigned_token_is_refused_however_it_spells_that() {
    let signer = hs256();
    let verifier = verifier(&[&signer]);
    for alg in ["none", "None", "nOnE", "NONE"] {
        let signed = signer.sign_parts(&json!({ "alg": alg }).to_string(), r#"{"sub":"ann"}"#);
        let unsigned = format!("{}.", signed.rsplit_once('.').unwrap().0);
        for token in [signed, unsigned] {
            let error = verifier.verify(&token, NOW).unwrap_err();
            assert_eq!(error, TokenError::Unsigned);
            assert_eq!(error.body().code, ErrorCode::Unauthorized);
        }
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let rsa = Signer::new(Algorithm::Rs256).named("k");
    let verifier = verifier(&[&rsa]);
    for secret in [rsa.public_pem(), rsa.public_pem().trim().to_owned()] {
        let forger = Signer::with_secret(Algorithm::Hs256, secret.as_bytes());
        let claims = json!({ "sub": "admin" });

        assert_eq!(verifier.verify(&forger.sign(&claims), NOW).unwrap_err(), TokenError::NoKey);
        let forger = forger.named("k");
        assert_eq!(verifier.verify(&forger.sign(&claims), NOW).unwrap_err(), TokenError::OtherAlgorithm);
    }
}

#[test]
fn a_key_is_used_with_its_own_algorithm_only() {
    let signer = Signer::new(Algorithm::Rs256);
    let verifier = verifier(&[&signer]);
    for alg in ["RS384", "PS256", "ES256", "EdDSA"] {
        let token = signer.sign_parts(&json!({ "alg": alg }).to_string(), "{}");
        assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::NoKey, "{alg}");
    }
    let token = signer.sign_parts(r#"{"alg":"RS1"}"#, "{}");
    assert_eq!(verifier.verify(&token, NOW).unwrap_err(), TokenError::UnknownAlgorithm);
}

#[test]
fn the_key_id_chooses_among_keys_and_an_unnamed_key_is_tried_for_each() {
    let (old, new, unnamed) = (hs256().named("old"), hs256().named("new"), hs256());
    let verifier = verifier(&[&old, &new, &unnamed]);
    let claims = json!({ "sub": "ann" });

    for signer in [&old, &new, &unnamed] {
        assert!(verifier.verify(&signer.sign(&claims), NOW).is_ok());
    }
    let impostor = hs256().named("old");
    assert_eq!(verifier.verify(&impostor.sign(&claims), NOW).unwrap_err(), TokenError::BadSignature);
    let swapped = old.sign_parts(r#"{"alg":"HS256","kid":"new"}"#, "{}");
    assert_eq!(verifier.verify(&swapped, NOW).unwrap_err(), TokenError::BadSignature);
}

#[test]
fn a_token_that_names_no_key_is_tried_with_a_few_only() {
    let signers: Vec<Signer> = (0..9).map(|index| hs256().named(&format!("k{index}"))).collect();
    let verifier = verifier(&signers.iter().collect::<Vec<_>>());
    let anonymous = |signer: &Signer| signer.sign_parts(r#"{"alg":"HS256"}"#, "{}");

    assert!(verifier.verify(&anonymous(&signers[7]), NOW).is_ok());
    assert_eq!(verifier.verify(&anonymous(&signers[8]), NOW).unwrap_err(), TokenError::BadSignature);
}

#[test]
fn time_is_judged_with_the_leeway_and_at_its_ends() {
    let signer = hs256();
    let verifier = verifier(&[&signer]);
    let verify = |claims: Value| verifier.verify(&signer.sign(&claims), NOW);

    assert!(verify(json!({ "exp": NOW_S - 29 })).is_ok());
    assert_eq!(verify(json!({ "exp": NOW_S - 30 })).unwrap_err(), TokenError::Expired { ago_s: 30 });
    assert_eq!(verify(json!({ "exp": 0 })).unwrap_err(), TokenError::Expired { ago_s: NOW_S });
    assert!(verify(json!({ "exp": -1 })).is_err());
    assert!(verify(json!({ "nbf": NOW_S + 30 })).is_ok());
    assert_eq!(verify(json!({ "nbf": NOW_S + 31 })).unwrap_err(), TokenError::NotYetValid { in_s: 31 });
    assert!(verify(json!({ "exp": NOW_S as f64 + 0.5 })).is_ok());
    assert!(verify(json!({ "exp": 1e300 })).is_ok(), "a date beyond the clock's end is its end");
}

#[test]
fn a_date_that_is_no_number_is_named() {
    for value in [json!("1700000000"), json!(true), json!([1])] {
        let error = refusal(&json!({ "exp": value }));
        assert_eq!(error.to_string(), "the token's claim `exp` must be a number of seconds since 1970");
    }
    let signer = hs256();
    let huge = signer.sign_parts(r#"{"alg":"HS256"}"#, r#"{"exp":1e999}"#);
    assert!(matches!(
        verifier(&[&signer]).verify(&huge, NOW),
        Err(TokenError::BadClaim { claim: "exp", .. })
    ));
}

#[test]
fn a_token_is_for_whom_it_names() {
    let signer = hs256();
    let verifier = verifier_with(&[&signer], |jwt| {
        jwt.issuer = Some("https://id.example".to_owned());
        jwt.audience = vec!["chat".to_owned(), "games".to_owned()];
    });
    let verify = |claims: Value| verifier.verify(&signer.sign(&claims), NOW).map(drop);
    let issuer = "https://id.example";

    assert_eq!(verify(json!({ "iss": issuer, "aud": "games" })), Ok(()));
    assert_eq!(verify(json!({ "iss": issuer, "aud": ["other", "chat"] })), Ok(()));
    for iss in [json!("https://id.example/"), json!("https://evil.example"), Value::Null] {
        assert_eq!(verify(json!({ "iss": iss, "aud": "chat" })), Err(TokenError::WrongIssuer));
    }
    for aud in [json!("chats"), json!([]), json!(["other"]), Value::Null] {
        assert_eq!(verify(json!({ "iss": issuer, "aud": aud })), Err(TokenError::WrongAudience));
    }
    let Err(TokenError::BadClaim { claim, .. }) = verify(json!({ "iss": issuer, "aud": 5 })) else {
        panic!("a number is no audience")
    };
    assert_eq!(claim, "aud");
}

#[test]
fn a_token_for_an_audience_is_refused_where_none_is_configured() {
    assert_eq!(refusal(&json!({ "aud": "somebody else" })), TokenError::WrongAudience);
}

#[test]
fn what_is_no_token_is_refused_with_a_reason() {
    let signer = hs256();
    let verifier = verifier(&[&signer]);
    let good = signer.sign(&json!({}));
    let cases = [
        ("", "is not a signed JWT"),
        ("hunter2", "is not a signed JWT"),
        ("a.b", "is not a signed JWT"),
        ("a.b.c.d", "is not a signed JWT"),
        ("a.b.c.d.e", "is not a signed JWT"),
        ("hunter2!.e30.AA", "header that is not base64url"),
        ("e30.e30.AA", "the text `alg`"),
        ("W10.e30.AA", "the text `alg`"),
        (&good.replace('.', "=."), "header that is not base64url"),
        (&format!("{good}!"), "signature that is not base64url"),
    ];
    for (token, expected) in cases {
        let error = verifier.verify(token, NOW).unwrap_err();
        assert!(error.to_string().contains(expected), "{token}: {error}");
        assert_hides(&error, token);
    }
}

#[test]
fn claims_that_are_no_object_or_say_a_thing_twice_are_refused() {
    let signer = hs256();
    let verifier = verifier(&[&signer]);
    for claims in ["", "null", "[]", "[\"ann\"]", "{", "{}{}", r#"{"sub":"ann","sub":"bob"}"#] {
        let token = signer.sign_parts(r#"{"alg":"HS256"}"#, claims);
        let error = verifier.verify(&token, NOW).unwrap_err();
        assert!(error.to_string().contains("not one JSON object"), "{claims:.20}: {error}");
    }
    let critical = signer.sign_parts(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, "{}");
    assert!(verifier.verify(&critical, NOW).unwrap_err().to_string().contains("critical extensions"));
}

#[test]
fn a_claim_of_the_wrong_kind_is_named_and_not_shown() {
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let many: Vec<String> = (0..257).map(|index| format!("c{index}")).collect();
    let cases = [
        (json!({ "sub": { "hunter2": 1 } }), "`sub` must be text"),
        (json!({ "sub": "x".repeat(256) }), "`sub` has 256 bytes; at most 255"),
        (json!({ "sub": "an\nn" }), "`sub` must not hold control characters"),
        (json!({ "jti": 5 }), "`jti` must be text"),
        (json!({ "tidegate": "hunter2" }), "`tidegate` must be an object"),
        (json!({ "tidegate": ["hunter2"] }), "`tidegate` must be an object"),
        (json!({ "tidegate": { "subscribe": "chat:*" } }), "`tidegate.subscribe` must be a list of texts"),
        (json!({ "tidegate": { "publish": [1] } }), "`tidegate.publish` must be a list of texts"),
        (json!({ "tidegate": { "publish": many } }), "`tidegate.publish` names 257 channels; at most 256"),
        (json!({ "tidegate": { "channels": ["ok", "a b"] } }), "`tidegate.channels` has a fault in entry 1"),
        (json!({ "tidegate": { "info": nested(33) } }), "`tidegate.info` is nested too deep"),
        (json!({ "tidegate": { "info": "x".repeat(2000) } }), "`tidegate.info` has 2002 bytes"),
    ];
    for (claims, expected) in cases {
        let error = refusal(&claims);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn sixty_four_kib_of_claims_are_refused_before_they_are_read() {
    let signer = hs256();
    let verifier = verifier(&[&signer]);
    let token = signer.sign(&json!({ "sub": "ann", "fill": "x".repeat(64 << 10) }));

    let error = verifier.verify(&token, NOW).unwrap_err();

    assert_eq!(error, TokenError::TooLong { bytes: token.len() });
    assert_eq!(error.body().code, ErrorCode::TooLarge);
    // A header of 20 characters, a signature of 43 and two dots stand beside the claims.
    let of_bytes = |bytes: usize| {
        let text_bytes = (bytes - 65) * 3 / 4;
        let token = signer
            .sign_parts(r#"{"alg":"HS256"}"#, &format!("{{\"fill\":\"{}\"}}", "x".repeat(text_bytes - 11)));
        assert_eq!(token.len(), bytes);
        token
    };
    assert!(verifier.verify(&of_bytes(TOKEN_BYTES_MAX), NOW).is_ok());
    assert!(verifier.verify(&of_bytes(TOKEN_BYTES_MAX + 1), NOW).is_err());
}

#[test]
fn a_gateway_without_keys_takes_no_tokens() {
    let verifier = verifier(&[]);

    assert!(!verifier.takes_tokens());
    assert_eq!(verifier.verify(&hs256().sign(&json!({})), NOW).unwrap_err(), TokenError::NotConfigured);
}

#[test]
fn refusals_are_counted_by_reason() {
    let signer = hs256();
    let verifier = verifier(&[&signer]);
    verifier.verify(&signer.sign(&json!({})), NOW).unwrap();
    verifier.verify(&signer.sign(&json!({ "exp": 1 })), NOW).unwrap_err();
    let malformed = verifier.verify("x", NOW).unwrap_err();

    assert_eq!(TokenError::ALL_REASONS[malformed.reason_index()], "malformed");
    assert_eq!(verifier.stats().verified.load(Ordering::Relaxed), 1);
    let refused: Vec<_> = verifier.stats().refused().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [("malformed", 1), ("expired", 1)]);
}

#[test]
fn a_key_that_cannot_be_used_ends_the_start_and_is_named_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let rsa = Signer::new(Algorithm::Rs256).config(folder.path());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let fault = |key: JwtKey| Verifier::new(&jwt(vec![rsa.clone(), key]), None).unwrap_err().to_string();

    let missing = JwtKey { public_key_file: Some(Path::new("/does/not/exist").into()), ..rsa.clone() };
    assert!(fault(missing).starts_with("auth.jwt.keys[1].public_key_file: /does/not/exist cannot be read"));
    let garbage = JwtKey { public_key_file: Some(file("a", "hunter2")), ..rsa.clone() };
    assert!(fault(garbage).ends_with("holds no public key in PEM (-----BEGIN PUBLIC KEY-----)"));
    let other_kind = JwtKey { alg: Algorithm::Es256, ..rsa.clone() };
    assert!(fault(other_kind).ends_with("RS256.pem holds no key that ES256 can use"));
    let (alg, secret_file) = (Algorithm::Hs512, Some(file("b", &"x".repeat(63))));
    let short = JwtKey { alg, secret_file, public_key_file: None, ..rsa.clone() };
    assert!(fault(short).ends_with("b holds 63 bytes, expected at least 64 for HS512"));
}

#[test]
fn a_secret_from_a_file_is_its_text_without_the_last_line_break() {
    let secret = "0123456789abcdef0123456789abcdef";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    for text in [format!("{secret}\n"), format!("{secret}\r\n"), secret.to_owned()] {
        std::fs::write(&path, text).unwrap();
        let config = JwtKey {
            alg: Algorithm::Hs256,
            kid: None,
            secret: None,
            secret_file: Some(path.clone()),
            public_key_file: None,
        };
        let verifier = Verifier::new(&jwt(vec![config]), None).unwrap();

        let token = Signer::with_secret(Algorithm::Hs256, secret.as_bytes()).sign(&json!({}));
        assert!(verifier.verify(&token, NOW).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_is_a_token_and_none_brings_the_verifier_down(text in ".{0,200}") {
        let signer = Signer::with_secret(Algorithm::Hs256, &[b'x'; 32]);
        prop_assert!(verifier(&[&signer]).verify(&text, NOW).is_err());
    }

    #[test]
    fn rightly_signed_nonsense_is_refused_or_read_but_never_shown(
        header in r#"\{"alg":"HS256"(,"(kid|crit|typ)":("x"|5|null|\[\]))?\}"#,
        claim in "sub|iss|aud|exp|nbf|iat|jti|tidegate",
        value in r#"null|-?[0-9]{1,30}|"hunter2"|\["hunter2"\]|\{"(info|channels|publish)":"hunter2"\}|1e[0-9]{1,4}"#,
    ) {
        let signer = Signer::with_secret(Algorithm::Hs256, &[b'x'; 32]);
        let token = signer.sign_parts(&header, &format!("{{\"{claim}\":{value}}}"));
        if let Err(error) = verifier(&[&signer]).verify(&token, NOW) {
            assert_hides(&error, &token);
        }
    }
}
