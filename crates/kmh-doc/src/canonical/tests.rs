//! Against the examples of RFC 8785 itself, and against another implementation.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn form(json: &str) -> Result<String, Flaw> {
    let mut out = Vec::new();
    write(json, &mut out).map_err(|defect| defect.flaw)?;
    Ok(String::from_utf8(out).unwrap())
}

fn defect(json: &str) -> Defect {
    write(json, &mut Vec::new()).unwrap_err()
}

#[test]
fn the_example_of_rfc_8785_3_2_2() {
    let input = r#"{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"#;
    let wanted = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                  \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
    assert_eq!(form(input).unwrap(), wanted);
}

#[test]
fn the_order_of_keys_of_rfc_8785_3_2_3() {
    let input = r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis"}"#;
    let form = form(input).unwrap();
    let wanted = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
    let places: Vec<_> = wanted.iter().map(|word| form.find(word).unwrap()).collect();
    assert!(places.is_sorted(), "{form}");
}

#[test]
fn the_numbers_of_rfc_8785_appendix_b() {
    for (bits, wanted) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        // Rust writes a float so that it reads back the same; `e` keeps it from looking like an integer.
        assert_eq!(form(&format!("{:e}", f64::from_bits(bits))).unwrap(), wanted, "{bits:x}");
    }
}

#[test]
fn whole_numbers_are_kept_or_refused_never_rounded() {
    assert_eq!(form("9007199254740992").unwrap(), "9007199254740992");
    assert_eq!(form("-9007199254740992").unwrap(), "-9007199254740992");
    assert_eq!(form("-0").unwrap(), "0");
    assert_eq!(form("1.0").unwrap(), "1");
    assert_eq!(form("9007199254740993"), Err(Flaw::BigNumber("9007199254740993".into())));
    assert_eq!(form("-9007199254740993"), Err(Flaw::BigNumber("-9007199254740993".into())));
    assert_eq!(form("1e400"), Err(Flaw::BigNumber("1e400".into())));
    assert_eq!(Flaw::BigNumber(String::new()).hint(), Some("write it as a string"));
}

#[test]
fn what_two_readers_could_read_differently_is_refused_with_its_place() {
    let twice = defect(r#"{"a":[{"b":1,"c":2,"\u0062":3}]}"#);
    assert_eq!(twice, Defect { flaw: Flaw::DuplicateKey("b".into()), offset: 19, path: "a[0]".into() });
    let big = defect(r#"[1,{"x":{"y":12345678901234567890}}]"#);
    assert_eq!((big.offset, big.path.as_str()), (13, "[1].x.y"));
    assert_eq!(form(r#""\ud800""#), Err(Flaw::LoneSurrogate));
    assert_eq!(form(&"[".repeat(100_000)), Err(Flaw::TooDeep));
    for text in ["", "{", "[1", "{\"a\"}", "{a:1}", "[1,]", "tru", "1 2", "\"", "01", "-", "\"\\x\""] {
        assert_eq!(form(text), Err(Flaw::Syntax), "{text}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
        // Between 2^53 and 10^21 the canonical form of a float is an integer, which would be refused when it is read.
        any::<f64>()
            .prop_filter("kept", |n| n.is_finite() && !(9_007_199_254_740_992.0..1e21).contains(&n.abs()))
            .prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::from),
        "[\\x00-\\x7f]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// JSON with the members of every object turned around.
fn backwards(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(backwards).collect::<Vec<_>>().join(" ,")),
        Value::Object(members) => {
            let members: Vec<_> = members
                .iter()
                .rev()
                .map(|(key, value)| format!("{} :{}", json!(key), backwards(value)))
                .collect();
            format!("{{ {}}}", members.join(", "))
        }
        _ => value.to_string(),
    }
}

proptest! {
    #[test]
    fn as_the_library_does_it(value in any_json()) {
        let wanted = serde_json_canonicalizer::to_string(&value).unwrap();
        prop_assert_eq!(form(&value.to_string()).unwrap(), wanted.clone());
        prop_assert_eq!(form(&format!(" {value:#}\n")).unwrap(), wanted.clone());
        prop_assert_eq!(form(&backwards(&value)).unwrap(), wanted.clone());
        prop_assert_eq!(form(&wanted).unwrap(), wanted);
    }

    #[test]
    fn nothing_makes_it_panic(text in "[\\[\\]{}\",:\\\\u0-9eE.tnd a-f-]{0,40}") {
        let _ = form(&text);
    }
}
