//! Quantities as they are read, ordered and written.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{ByteCount, Millicores, Quantity};

#[test]
fn texts_have_one_canonical_form() {
    let cases = [
        ("0", "0"),
        ("-0", "0"),
        ("+1", "1"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1024Ki", "1Mi"),
        ("1Ki", "1Ki"),
        ("1536Mi", "1536Mi"),
        ("2048Mi", "2Gi"),
        ("0.5Gi", "512Mi"),
        ("1.5Ki", "1536"),
        ("0.1", "100m"),
        (".5", "500m"),
        ("1.", "1"),
        ("100m", "100m"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("12e6", "12e6"),
        ("1e-3", "1e-3"),
        ("100e-3", "100e-3"),
        ("1e0", "1"),
        ("5E", "5E"),
        ("1000000", "1M"),
        ("0.0000000001", "1n"),
        ("1n", "1n"),
        ("1500u", "1500u"),
        ("2000u", "2m"),
        ("-1Gi", "-1Gi"),
        ("512", "512"),
        ("1Ei", "1Ei"),
        ("0.1Ki", "102400m"),
    ];
    for (text, canonical) in cases {
        let quantity: Quantity = text.parse().unwrap();
        assert_eq!(quantity.to_string(), canonical, "{text}");
        assert_eq!(canonical.parse::<Quantity>().unwrap(), quantity, "{canonical} read again");
    }
}

#[test]
fn what_is_no_quantity_is_refused() {
    for text in [
        "", "-", "+", ".", "1.2.3", "Mi", "1mi", "1K", "1 Gi", " 1", "1GiB", "1e", "1e1.5", "0x10", "--1", "one", "1,5",
    ] {
        assert!(text.parse::<Quantity>().is_err(), "{text:?}");
    }
    let error = "1GB".parse::<Quantity>().unwrap_err().to_string();
    assert!(error.starts_with("\"1GB\" is no quantity: its suffix is none of n, u, m, k,"), "{error}");
    assert!("9".repeat(65).parse::<Quantity>().is_err());
}

#[test]
fn huge_amounts_stay_at_the_limit() {
    let most: Quantity = "9223372036854775807".parse().unwrap();
    for text in ["9e99999", "100E", "9999999Ei", "1e2147483647"] {
        match text.parse::<Quantity>() {
            Ok(quantity) => assert_eq!(quantity, most, "{text}"),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((most + most), most);
}

#[test]
fn units_round_up() {
    let cpu = |text: &str| Millicores::from(text.parse::<Quantity>().unwrap());
    let bytes = |text: &str| ByteCount::from(text.parse::<Quantity>().unwrap());
    assert_eq!(cpu("0.0001"), Millicores(1));
    assert_eq!(cpu("2"), Millicores(2000));
    assert_eq!(cpu("-2"), Millicores::ZERO);
    assert_eq!(bytes("1.5Ki"), ByteCount(1536));
    assert_eq!(bytes("100m"), ByteCount(1));
    assert_eq!(ByteCount(64 << 20).to_string(), "64Mi");
    assert_eq!(Millicores(1500).to_string(), "1500m");
    assert_eq!([Millicores(1), Millicores(2)].into_iter().sum::<Millicores>(), Millicores(3));
    assert_eq!(Millicores(1) - Millicores(2), Millicores::ZERO);
}

proptest! {
    #[test]
    fn every_amount_survives_its_text(millis in any::<i64>(), bytes in any::<i64>()) {
        for quantity in [Quantity::from_millis(millis), Quantity::from_bytes(bytes), Quantity::from_whole(bytes)] {
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
        }
    }

    #[test]
    fn any_text_is_answered(text in ".{0,40}") {
        let _ = text.parse::<Quantity>();
    }
}
