//! What holds for generated requests, valid and broken, alone and beside `httparse`.

use proptest::prelude::*;

use tidegate_wire::request::Parsed;

use crate::generate::{Generated, mutate, mutations, valid_request};
use crate::parse;

proptest! {
    #[test]
    fn every_valid_request_is_accepted_and_read_as_sent(generated in valid_request()) {
        let Generated { bytes, target, host, headers } = generated;
        let Ok(Parsed::Upgrade { request, consumed }) = parse(&bytes) else {
            return Err(TestCaseError::fail(format!("{:?} for {}", parse(&bytes), bytes.escape_ascii())));
        };
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!(request.target(), target);
        prop_assert_eq!(request.host(), host);
        let found: Vec<_> = request.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        prop_assert_eq!(found, headers);
    }

    #[test]
    fn what_is_accepted_httparse_reads_the_same(generated in valid_request(), mutations in mutations()) {
        let mut bytes = generated.bytes;
        mutate(&mut bytes, &mutations);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut other = httparse::Request::new(&mut headers);
        match parse(&bytes) {
            Ok(Parsed::Upgrade { request, consumed }) => {
                prop_assert_eq!(other.parse(&bytes), Ok(httparse::Status::Complete(consumed)));
                prop_assert_eq!(other.method, Some("GET"));
                prop_assert_eq!(other.version, Some(1));
                prop_assert_eq!(other.path, Some(request.target()));
                let theirs: Vec<_> = other.headers.iter().map(|header| (header.name, header.value)).collect();
                prop_assert_eq!(request.headers().collect::<Vec<_>>(), theirs);
            }
            Ok(Parsed::Http) => prop_assert!(matches!(other.parse(&bytes), Ok(httparse::Status::Complete(_)))),
            Ok(Parsed::Incomplete) => prop_assert!(!matches!(other.parse(&bytes), Ok(httparse::Status::Complete(_)))),
            Err(error) => prop_assert!((400..=505).contains(&error.status()), "{}", error),
        }
    }

    #[test]
    fn no_bytes_at_all_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        // The verdict is free; that there is one is the property.
        let verdict = parse(&bytes).map(|parsed| matches!(parsed, Parsed::Upgrade { .. }));
        prop_assert_ne!(verdict, Ok(true), "two hundred random bytes are no request");
    }
}
