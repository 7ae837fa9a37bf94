//! The memcomparable encoding: known values, round trip, order, and refusal of everything else.

use proptest::prelude::*;
use storage::Error;
use storage::codec::{decode_bytes, decode_bytes_exact, encode_bytes, encode_bytes_into, encoded_len, is_encoded};

#[test]
fn known_encodings() {
    let table: [(&[u8], &[u8]); 6] = [
        (b"", &[0, 0, 0, 0, 0, 0, 0, 0, 0xF7]),
        (b"a", &[b'a', 0, 0, 0, 0, 0, 0, 0, 0xF8]),
        (b"a\0", &[b'a', 0, 0, 0, 0, 0, 0, 0, 0xF9]),
        (b"1234567", &[b'1', b'2', b'3', b'4', b'5', b'6', b'7', 0, 0xFE]),
        (b"12345678", &[b'1', b'2', b'3', b'4', b'5', b'6', b'7', b'8', 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0xF7]),
        (&[0xFF; 8], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0xF7]),
    ];
    for (key, encoded) in table {
        assert_eq!(encode_bytes(key), encoded, "{key:?}");
        assert_eq!(decode_bytes_exact(encoded).as_deref(), Ok(key));
    }
}

#[test]
fn what_is_not_an_encoding_is_refused() {
    let table: [(&[u8], &str); 7] = [
        (b"", "empty"),
        (b"plain key", "marker out of range"),
        (&[0, 0, 0, 0, 0, 0, 0, 0], "no marker"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0xF6], "more padding than a group"),
        (&[b'a', 1, 0, 0, 0, 0, 0, 0, 0xF8], "padding is not zero"),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 0xFF], "last group missing"),
        (&[0, 0, 0, 0, 0, 0, 0, 0, 0xF7, 0], "bytes behind it"),
    ];
    for (bytes, why) in table {
        assert!(matches!(decode_bytes_exact(bytes), Err(Error::Corrupted { .. })), "{why}");
        assert!(!is_encoded(bytes), "{why}");
    }
}

/// Byte strings that share prefixes and lie around group borders.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xFE), Just(0xFF)], 0..20),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoding_undoes_encoding(key in key(), suffix in prop::collection::vec(any::<u8>(), 0..12)) {
        let mut encoded = vec![7];
        encode_bytes_into(&key, &mut encoded);
        prop_assert_eq!(encoded.len() - 1, encoded_len(key.len()));
        encoded.extend_from_slice(&suffix);
        prop_assert_eq!(decode_bytes(&encoded[1..]), Ok((key, suffix.as_slice())));
    }

    #[test]
    fn the_order_is_kept_whatever_follows(a in key(), b in key(), x in any::<[u8; 8]>(), y in any::<[u8; 8]>()) {
        prop_assert_eq!(encode_bytes(&a).cmp(&encode_bytes(&b)), a.cmp(&b));
        if a != b {
            let with_suffix = |key: &[u8], suffix: [u8; 8]| [encode_bytes(key), suffix.to_vec()].concat();
            prop_assert_eq!(with_suffix(&a, x).cmp(&with_suffix(&b, y)), a.cmp(&b));
        }
    }

    #[test]
    fn no_input_panics_and_what_decodes_encodes_back(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok((key, rest)) = decode_bytes(&bytes) {
            prop_assert_eq!([encode_bytes(&key), rest.to_vec()].concat(), bytes);
        }
    }
}
