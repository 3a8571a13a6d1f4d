use proptest::prelude::*;

use super::*;
use crate::deflate::ParameterError;

#[test]
fn a_bare_offer_is_accepted_without_takeover_either_way_by_default() {
    let agreement = agreed(&Policy::default(), "permessage-deflate");
    assert_eq!(
        agreement,
        Agreement { server_no_context_takeover: true, client_no_context_takeover: true, ..bare() }
    );
    assert_eq!(
        response(&agreement),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    );
}

#[test]
fn what_browsers_offer_is_accepted_and_the_clients_window_left_alone() {
    let agreement = agreed(&keeping(), "permessage-deflate; client_max_window_bits");
    assert_eq!(agreement, bare());
    assert_eq!(response(&agreement), "permessage-deflate");
}

#[test]
fn all_four_parameters_of_an_offer_are_honoured_and_confirmed() {
    let offer = "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10; \
                 client_no_context_takeover; server_no_context_takeover";
    let agreement = agreed(&keeping(), offer);
    let expected = Agreement {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: 10,
        client_max_window_bits: 9,
        server_max_window_bits_offered: true,
    };
    assert_eq!(agreement, expected);
    assert_eq!(
        response(&agreement),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=10; client_max_window_bits=9"
    );
}

#[test]
fn an_offered_server_window_is_confirmed_even_where_it_limits_nothing() {
    let agreement = agreed(&keeping(), "permessage-deflate; server_max_window_bits=15");
    assert_eq!(response(&agreement), "permessage-deflate; server_max_window_bits=15");
}

#[test]
fn the_servers_window_is_the_smaller_of_what_policy_and_offer_allow() {
    let policy = Policy { server_max_window_bits: 11, ..keeping() };
    for (offer, bits) in [("", 11), ("; server_max_window_bits=9", 9), ("; server_max_window_bits=15", 11)] {
        let agreement = agreed(&policy, &format!("permessage-deflate{offer}"));
        assert_eq!(agreement.server_max_window_bits, bits, "offer {offer:?}");
        assert!(response(&agreement).ends_with(&format!("; server_max_window_bits={bits}")));
    }
}

#[test]
fn the_clients_window_is_named_in_the_answer_only_where_the_offer_named_it() {
    let named = agreed(&keeping(), "permessage-deflate; client_max_window_bits=8");
    assert_eq!(response(&named), "permessage-deflate; client_max_window_bits=8");
    let unnamed = agreed(&keeping(), "permessage-deflate");
    assert_eq!(response(&unnamed), "permessage-deflate");
}

#[test]
fn a_server_window_of_256_bytes_is_declined_and_the_next_offer_taken() {
    assert_eq!(choose(&["permessage-deflate; server_max_window_bits=8"]), Ok(None));
    assert_eq!(declined("permessage-deflate; server_max_window_bits=8"), Err(ParameterError::WindowTooSmall));

    let agreement = agreed(&keeping(), "permessage-deflate; server_max_window_bits=8, permessage-deflate");
    assert_eq!(agreement, bare());
}

#[test]
fn a_policy_out_of_range_is_brought_into_it() {
    for (configured, used) in [(0, 9), (8, 9), (16, 15)] {
        let policy = Policy { server_max_window_bits: configured, ..keeping() };
        assert_eq!(agreed(&policy, "permessage-deflate").server_max_window_bits, used);
    }
}

#[test]
fn each_broken_parameter_declines_its_offer_for_its_own_reason() {
    use Parameter::{
        ClientMaxWindowBits, ClientNoContextTakeover, ServerMaxWindowBits, ServerNoContextTakeover,
    };
    use ParameterError::{BadWindowBits, MissingValue, Repeated, UnexpectedValue, Unknown};
    let cases = [
        ("unknown", Unknown),
        ("unknown=1", Unknown),
        ("Server_No_Context_Takeover", Unknown),
        ("server_no_context_takeover=1", UnexpectedValue(ServerNoContextTakeover)),
        ("server_no_context_takeover=\"true\"", UnexpectedValue(ServerNoContextTakeover)),
        ("client_no_context_takeover=1", UnexpectedValue(ClientNoContextTakeover)),
        ("server_no_context_takeover; server_no_context_takeover", Repeated(ServerNoContextTakeover)),
        ("client_no_context_takeover; client_no_context_takeover", Repeated(ClientNoContextTakeover)),
        ("server_max_window_bits=10; server_max_window_bits=10", Repeated(ServerMaxWindowBits)),
        ("client_max_window_bits; client_max_window_bits", Repeated(ClientMaxWindowBits)),
        ("client_max_window_bits=10; client_max_window_bits", Repeated(ClientMaxWindowBits)),
        ("server_max_window_bits", MissingValue(ServerMaxWindowBits)),
        ("server_max_window_bits=7", BadWindowBits(ServerMaxWindowBits)),
        ("server_max_window_bits=16", BadWindowBits(ServerMaxWindowBits)),
        ("server_max_window_bits=09", BadWindowBits(ServerMaxWindowBits)),
        ("server_max_window_bits=010", BadWindowBits(ServerMaxWindowBits)),
        ("server_max_window_bits=+9", BadWindowBits(ServerMaxWindowBits)),
        ("server_max_window_bits=-9", BadWindowBits(ServerMaxWindowBits)),
        ("server_max_window_bits=1", BadWindowBits(ServerMaxWindowBits)),
        ("server_max_window_bits=100", BadWindowBits(ServerMaxWindowBits)),
        ("server_max_window_bits=ten", BadWindowBits(ServerMaxWindowBits)),
        ("client_max_window_bits=7", BadWindowBits(ClientMaxWindowBits)),
        ("client_max_window_bits=16", BadWindowBits(ClientMaxWindowBits)),
        ("client_max_window_bits=08", BadWindowBits(ClientMaxWindowBits)),
        ("client_max_window_bits=\"16\"", BadWindowBits(ClientMaxWindowBits)),
        ("client_max_window_bits=265", BadWindowBits(ClientMaxWindowBits)),
    ];
    for (parameters, reason) in cases {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(declined(&offer), Err(reason), "{offer}");
        assert_eq!(choose(&[&offer]), Ok(None), "{offer}");
        // Declined, not refused: the offer behind it stands.
        assert_eq!(
            choose(&[&offer, "permessage-deflate"]).map(|chosen| chosen.is_some()),
            Ok(true),
            "{offer}"
        );
    }
}

#[test]
fn every_window_size_is_read_plain_and_quoted() {
    for bits in 8..=15_u8 {
        for value in [format!("{bits}"), format!("\"{bits}\""), format!("\"\\{bits}\"")] {
            let offer = format!("permessage-deflate; client_max_window_bits={value}");
            assert_eq!(agreed(&keeping(), &offer).client_max_window_bits, bits, "{offer}");
        }
    }
}

#[test]
fn the_first_acceptable_offer_wins_within_one_header_and_across_several() {
    let ten = "permessage-deflate; server_max_window_bits=10";
    let eleven = "permessage-deflate; server_max_window_bits=11";
    let chosen = |values: &[&str]| choose(values).unwrap().unwrap().server_max_window_bits;
    assert_eq!(chosen(&[&format!("{ten}, {eleven}")]), 10);
    assert_eq!(chosen(&[eleven, ten]), 11);
    assert_eq!(chosen(&["x-other", &format!("permessage-deflate; unknown, {ten}")]), 10);
}

#[test]
fn other_extensions_are_ignored_with_whatever_parameters() {
    for value in
        ["x-webkit-deflate-frame", "permessage-bzip2; level=9", "a; b=\"c\"; d, e", "permessage-deflatee"]
    {
        assert_eq!(choose(&[value]), Ok(None), "{value}");
    }
    assert_eq!(choose(&[]), Ok(None));
}

#[test]
fn a_disabled_policy_accepts_nothing_but_still_checks_the_grammar() {
    let off = Policy { enabled: false, ..Policy::default() };
    assert_eq!(negotiate(&off, [b"permessage-deflate".as_slice()].into_iter()), Ok(None));
    assert!(negotiate(&off, [b"permessage-deflate;".as_slice()].into_iter()).is_err());
}

#[test]
fn space_is_allowed_around_every_separator_and_empty_elements_are_skipped() {
    for value in [
        "permessage-deflate;client_max_window_bits=10",
        "\t permessage-deflate \t;\t client_max_window_bits \t= 10\t ",
        ",, permessage-deflate; client_max_window_bits = \"10\" , ,",
    ] {
        assert_eq!(agreed(&keeping(), value).client_max_window_bits, 10, "{value}");
    }
    assert_eq!(choose(&["", " ", ", ,"]), Ok(None));
}

#[test]
fn broken_grammar_is_an_error_wherever_it_stands() {
    use ExtensionError::{BadQuotedValue, ExpectedSeparator, ExpectedToken};
    let cases = [
        ("permessage-deflate;", ExpectedToken { at: 19 }),
        ("permessage-deflate; ;", ExpectedToken { at: 20 }),
        ("permessage-deflate;,", ExpectedToken { at: 19 }),
        (";", ExpectedToken { at: 0 }),
        ("=", ExpectedToken { at: 0 }),
        ("a; =b", ExpectedToken { at: 3 }),
        ("a; b=", ExpectedToken { at: 5 }),
        ("a; b=;", ExpectedToken { at: 5 }),
        ("a; b=, c", ExpectedToken { at: 5 }),
        ("\"a\"", ExpectedToken { at: 0 }),
        ("a, \u{e9}", ExpectedToken { at: 3 }),
        ("\r\n", ExpectedToken { at: 0 }),
        ("a b", ExpectedSeparator { at: 2 }),
        ("a=b", ExpectedSeparator { at: 1 }),
        ("a; b c", ExpectedSeparator { at: 5 }),
        ("a; b=c d", ExpectedSeparator { at: 7 }),
        ("a; b=\"c\"d", ExpectedSeparator { at: 8 }),
        ("a\0", ExpectedSeparator { at: 1 }),
        ("a(comment)", ExpectedSeparator { at: 1 }),
        ("a; b=\"", BadQuotedValue { at: 6 }),
        ("a; b=\"c", BadQuotedValue { at: 7 }),
        ("a; b=\"\"", BadQuotedValue { at: 6 }),
        ("a; b=\"c d\"", BadQuotedValue { at: 7 }),
        ("a; b=\"c\\\"", BadQuotedValue { at: 8 }),
        ("a; b=\"c\\", BadQuotedValue { at: 8 }),
        ("a; b=\"\\\\\"", BadQuotedValue { at: 7 }),
    ];
    for (value, error) in cases {
        assert_eq!(choose(&[value]), Err(error), "{value:?}");
        assert_eq!(choose(&["permessage-deflate", value]), Err(error), "behind a good offer: {value:?}");
    }
}

#[test]
fn a_client_writes_its_offer_with_every_parameter_it_wants() {
    let all = ClientOffer {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: Some(9),
        client_max_window_bits: Some(12),
    };
    assert_eq!(
        offer(&all),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=9; client_max_window_bits=12"
    );
    assert_eq!(offer(&ClientOffer::default()), "permessage-deflate; client_max_window_bits");
    assert_eq!(offer(&no_wish()), "permessage-deflate");
}

#[test]
fn an_answer_that_contradicts_the_offer_is_refused_for_its_own_reason() {
    use ExtensionError::{AcceptedTwice, NotOffered};
    use Parameter::{ClientMaxWindowBits, ServerMaxWindowBits, ServerNoContextTakeover};
    let forgetful = ClientOffer { server_no_context_takeover: true, ..no_wish() };
    let narrow = ClientOffer { server_max_window_bits: Some(10), ..no_wish() };
    let parameter = ExtensionError::Parameter;
    let cases = [
        (no_wish(), "x-other", NotOffered),
        (no_wish(), "permessage-deflate, x-other", NotOffered),
        (no_wish(), "permessage-deflate, permessage-deflate", AcceptedTwice),
        (no_wish(), "permessage-deflate; unknown", parameter(ParameterError::Unknown)),
        (forgetful, "permessage-deflate", parameter(ParameterError::NotConfirmed(ServerNoContextTakeover))),
        (narrow.clone(), "permessage-deflate", parameter(ParameterError::NotConfirmed(ServerMaxWindowBits))),
        (narrow, "permessage-deflate; server_max_window_bits=11", parameter(ParameterError::WindowTooLarge)),
        (
            no_wish(),
            "permessage-deflate; client_max_window_bits=10",
            parameter(ParameterError::NotOffered(ClientMaxWindowBits)),
        ),
        (
            ClientOffer::default(),
            "permessage-deflate; client_max_window_bits",
            parameter(ParameterError::MissingValue(ClientMaxWindowBits)),
        ),
        (no_wish(), "permessage-deflate;", ExtensionError::ExpectedToken { at: 19 }),
    ];
    for (offered, answer, error) in cases {
        assert_eq!(Agreement::parse_response(answer.as_bytes(), &offered), Err(error), "{answer}");
    }
}

#[test]
fn an_answer_may_limit_more_than_was_asked() {
    let answer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                  server_max_window_bits=8; client_max_window_bits=8";
    let agreement = Agreement::parse_response(answer.as_bytes(), &ClientOffer::default()).unwrap();
    let expected = Agreement {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: 8,
        client_max_window_bits: 8,
        server_max_window_bits_offered: false,
    };
    assert_eq!(agreement, Some(expected));
}

#[test]
fn a_client_keeps_to_its_own_limit_whatever_the_answer_says() {
    let offered = ClientOffer { client_max_window_bits: Some(10), ..no_wish() };
    for (answer, bits) in [("", 10), ("; client_max_window_bits=12", 10), ("; client_max_window_bits=9", 9)] {
        let answer = format!("permessage-deflate{answer}");
        let agreement = Agreement::parse_response(answer.as_bytes(), &offered).unwrap().unwrap();
        assert_eq!(agreement.client_max_window_bits, bits, "{answer}");
    }
}

#[test]
fn an_empty_answer_agrees_on_nothing() {
    assert_eq!(Agreement::parse_response(b"", &ClientOffer::default()), Ok(None));
}

#[test]
fn messages_name_the_header_and_the_place() {
    let syntax = choose(&["permessage-deflate;"]).unwrap_err();
    assert_eq!(syntax.to_string(), "Sec-WebSocket-Extensions, byte 19: expected a name or a value");
    let rule = ExtensionError::from(ParameterError::NotConfirmed(Parameter::ServerMaxWindowBits));
    assert_eq!(
        rule.to_string(),
        "Sec-WebSocket-Extensions: server_max_window_bits was offered and must be confirmed"
    );
}

fn any_bits() -> impl Strategy<Value = Option<u8>> {
    prop::option::of(8..=15_u8)
}

proptest! {
    #[test]
    fn what_a_server_answers_the_client_accepts_and_both_understand_the_same(
        server_context_takeover: bool,
        client_context_takeover: bool,
        policy_bits in 9..=15_u8,
        server_no_context_takeover: bool,
        client_no_context_takeover: bool,
        server_max_window_bits in any_bits(),
        client_max_window_bits in any_bits(),
    ) {
        let policy = Policy {
            server_context_takeover,
            client_context_takeover,
            server_max_window_bits: policy_bits,
            ..Policy::default()
        };
        let offered = ClientOffer {
            server_no_context_takeover,
            client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
        };
        let chosen = negotiate(&policy, [offer(&offered).as_bytes()].into_iter()).unwrap();
        let Some(agreement) = chosen else {
            prop_assert_eq!(server_max_window_bits, Some(8), "the only offer to decline");
            return Ok(());
        };
        let read = Agreement::parse_response(response(&agreement).as_bytes(), &offered);
        prop_assert_eq!(read, Ok(Some(agreement)));
        prop_assert!(agreement.server_max_window_bits <= policy_bits.min(server_max_window_bits.unwrap_or(15)));
        prop_assert!(agreement.client_max_window_bits <= client_max_window_bits.unwrap_or(15));
        prop_assert!(agreement.server_no_context_takeover >= server_no_context_takeover);
        prop_assert!(agreement.client_no_context_takeover >= client_no_context_takeover);
    }

    #[test]
    fn any_header_gets_a_verdict_and_the_same_as_one_value_or_as_two(
        first in "[a-z;=,\" \\\\]{0,24}|permessage-deflate(; ?(client|server)_max_window_bits(=[0-9\"]{1,3})?){0,2}",
        second in "permessage-deflate(; ?client_no_context_takeover){0,2}|[a-z;=, ]{0,12}",
    ) {
        // Lines of one header name mean the same as one line joined by commas (RFC 9110 section 5.3), if each is well-formed.
        let apart = choose(&[&first, &second]);
        if apart.is_ok() {
            prop_assert_eq!(choose(&[&format!("{first},{second}")]), apart);
        } else {
            prop_assert!(choose(&[&first]).is_err() || choose(&[&second]).is_err());
        }
    }
}

/// A policy that leaves both windows alive.
fn keeping() -> Policy {
    Policy { server_context_takeover: true, client_context_takeover: true, ..Policy::default() }
}

fn bare() -> Agreement {
    Agreement::default()
}

fn no_wish() -> ClientOffer {
    ClientOffer { client_max_window_bits: None, ..ClientOffer::default() }
}

fn choose(values: &[&str]) -> Result<Option<Agreement>, ExtensionError> {
    negotiate(&keeping(), values.iter().map(|value| value.as_bytes()))
}

fn agreed(policy: &Policy, value: &str) -> Agreement {
    negotiate(policy, [value.as_bytes()].into_iter()).expect("well-formed").expect("acceptable")
}

/// Why a single, well-formed offer is declined.
fn declined(value: &str) -> Result<Agreement, ParameterError> {
    let mut reader = ExtensionReader::new(value.as_bytes());
    reader.next_extension().expect("well-formed").expect("an extension");
    Parameters::read(&mut reader).expect("well-formed").and_then(|offer| accept(&keeping(), &offer))
}

fn response(agreement: &Agreement) -> String {
    let mut out = Vec::new();
    agreement.append_response(&mut out);
    String::from_utf8(out).expect("ASCII")
}

fn offer(offered: &ClientOffer) -> String {
    let mut out = Vec::new();
    offered.append(&mut out);
    String::from_utf8(out).expect("ASCII")
}
