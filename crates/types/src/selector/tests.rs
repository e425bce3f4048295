//! The whole edge table of the grammar, plus evaluation and restrictions.

use super::{Expr, Restriction, Restrictions, Selector};
use crate::Labels;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn canonical(text: &str) -> String {
    Selector::parse(text).unwrap_or_else(|e| panic!("`{text}`: {e}")).to_string()
}

#[test]
fn canonical_forms() {
    for (text, expected) in [
        ("", "all()"),
        (" ", "all()"),
        (" \t ", "all()"),
        ("all()", "all()"),
        ("all( )", "all()"),
        ("global()", "global()"),
        ("all()&&global()", "(all() && global())"),
        ("has( a )", "has(a)"),
        ("a=='b'&&c=='d'||e=='f'", r#"((a == "b" && c == "d") || e == "f")"#),
        ("a=='b'||c=='d'&&e=='f'", r#"(a == "b" || (c == "d" && e == "f"))"#),
        ("(a == 'b')", r#"a == "b""#),
        ("((a == 'b') && has(c)) && has(d)", r#"((a == "b" && has(c)) && has(d))"#),
        ("a in {}", "a in {}"),
        ("a not in {}", "a not in {}"),
        ("a in {'x',}", r#"a in {"x"}"#),
        ("a in {'z','x','x'}", r#"a in {"x", "z"}"#),
        ("a in { 'z' , \"x\" }", r#"a in {"x", "z"}"#),
        ("a contains'b'", r#"a contains "b""#),
        ("a in{'b'}", r#"a in {"b"}"#),
        ("a startswith'b'", r#"a starts with "b""#),
        ("a endswith 'b'", r#"a ends with "b""#),
        ("a notin{'b'}", r#"a not in {"b"}"#),
        ("a starts  with 'b'", r#"a starts with "b""#),
        ("a not  in {'b'}", r#"a not in {"b"}"#),
        ("a == \"it's\"", r#"a == "it's""#),
        ("a == 'say \"x\"'", r#"a == 'say "x"'"#),
        ("a == ''", r#"a == """#),
        ("a == 'é'", r#"a == "é""#),
        ("a == 'x\ny'", "a == \"x\ny\""),
        ("!a == 'b'", r#"!a == "b""#),
        ("!(a == 'b')", r#"!a == "b""#),
        ("!!a == 'b'", r#"a == "b""#),
        ("! ! !has(a)", "!has(a)"),
        ("!(!has(a))", "has(a)"),
        ("!(has(a) && has(b))", "!(has(a) && has(b))"),
        ("a==\"b\"", r#"a == "b""#),
        ("a!='b'", r#"a != "b""#),
        ("has(a)&&has(b)", "(has(a) && has(b))"),
        ("has(a)||has(b)||has(c)", "(has(a) || has(b) || has(c))"),
        ("(has(a)||has(b))&&has(c)", "((has(a) || has(b)) && has(c))"),
        ("has(a)&&(has(b)||has(c))&&has(d)", "(has(a) && (has(b) || has(c)) && has(d))"),
        ("a starts with'b'", r#"a starts with "b""#),
        ("a ends  with 'b'", r#"a ends with "b""#),
        ("a\tnot\tin\t{'b'}", r#"a not in {"b"}"#),
        ("a not in{'b',\"c\",}", r#"a not in {"b", "c"}"#),
        ("a in {'', 'x'}", r#"a in {"", "x"}"#),
        ("!a in {'b'}", r#"!a in {"b"}"#),
        ("!all()", "!all()"),
        ("!global( )", "!global()"),
        ("a == 'B'", r#"a == "B""#),
        ("a == '&& || ! ( ) { } ,'", r#"a == "&& || ! ( ) { } ,""#),
        ("a contains '\"'", r#"a contains '"'"#),
        // Operator words and function names are ordinary labels.
        ("in in {'in'}", r#"in in {"in"}"#),
        ("contains contains 'x'", r#"contains contains "x""#),
        ("has == 'x'", r#"has == "x""#),
        ("all == 'x'", r#"all == "x""#),
        ("global != 'x'", r#"global != "x""#),
        ("not not in {'x'}", r#"not not in {"x"}"#),
        ("has(has)", "has(has)"),
        // Labels may start with a dash, a dot, a digit or a slash.
        ("-a == 'b'", r#"-a == "b""#),
        (".a == 'b'", r#".a == "b""#),
        ("1/x.y_z-0 == 'b'", r#"1/x.y_z-0 == "b""#),
    ] {
        assert_eq!(canonical(text), expected, "`{text}`");
        assert_eq!(canonical(expected), expected, "the canonical form of `{text}` is stable");
    }
}

#[test]
fn bad_selectors_say_where_and_what() {
    for (text, at, found) in [
        ("all ()", 4, "`()`"),
        ("has (a)", 4, "`(a)`"),
        ("a in {,}", 6, "`,}`"),
        ("a in {'x' 'y'}", 10, "`'y'}`"),
        ("a in 'x'", 5, "`'x'`"),
        ("a in {'x'", 9, "the end"),
        ("a == 'x\\'y'", 9, "`y'`"),
        ("a == 'x", 5, "`'x`"),
        ("a = 'b'", 2, "`=`"),
        ("has(a) & has(b)", 7, "`&`"),
        ("a & b", 2, "`&`"),
        ("a == b", 5, "`b`"),
        ("has()", 4, "`)`"),
        ("has(a", 5, "the end"),
        ("all(a)", 4, "`a)`"),
        ("ALL()", 3, "`()`"),
        ("Has(a)", 3, "`(a)`"),
        ("a IN {'b'}", 2, "`IN`"),
        ("a not contains 'x'", 2, "`not`"),
        ("a starts 'x'", 2, "`starts`"),
        ("a\n== 'b'", 1, "`\\n==`"),
        ("has(a)\n", 6, "`\\n`"),
        ("has(a) has(b)", 7, "`has(b)`"),
        ("é == 'b'", 0, "`é`"),
        ("a", 1, "the end"),
        ("!", 1, "the end"),
        ("()", 1, "`)`"),
        ("(has(a)", 7, "the end"),
        ("has(a))", 6, "`)`"),
        ("has(a) && && has(b)", 10, "`&&`"),
        ("has(a) &&", 9, "the end"),
        ("has(a) ||", 9, "the end"),
        ("has(a) | has(b)", 7, "`|`"),
        ("!&& has(a)", 1, "`&&`"),
        ("a == 'b' 'c'", 9, "`'c'`"),
        ("a in {'x',,}", 10, "`,}`"),
        ("a in {x}", 6, "`x}`"),
        ("a in", 4, "the end"),
        ("a not 'b'", 2, "`not`"),
        ("a === 'b'", 4, "`=`"),
        ("a starts with", 13, "the end"),
        ("a contains {'b'}", 11, "`{'b'}`"),
        ("a STARTS WITH 'b'", 2, "`STARTS`"),
        ("Global()", 6, "`()`"),
        ("global ()", 7, "`()`"),
        ("has((a))", 4, "`(a))`"),
        ("'a' == 'b'", 0, "`'a'`"),
        ("a == \"b'", 5, "`\"b'`"),
        ("|| has(a)", 0, "`||`"),
        ("&& has(a)", 0, "`&&`"),
    ] {
        let error = Selector::parse(text).expect_err(text);
        assert_eq!((error.at, error.found.as_str()), (at, found), "`{text}`: {error}");
    }
}

#[test]
fn errors_read_well() {
    let error = Selector::parse("app = 'web'").expect_err("one equals sign");
    assert_eq!(
        error.to_string(),
        "selector: at byte 4: expected `==`, `!=`, `in`, `not in`, `contains`, `starts with` or \
         `ends with`, found `=` (equality is written `==`)"
    );
}

#[test]
fn evaluation_with_the_label_absent_and_present() {
    let without = labels(&[("other", "x")]);
    let with = labels(&[("a", "bcd")]);
    for (text, if_absent, if_present) in [
        ("has(a)", false, true),
        ("!has(a)", true, false),
        ("a == 'bcd'", false, true),
        ("a == 'BCD'", false, false),
        ("a != 'bcd'", true, false),
        ("a != 'x'", true, true),
        ("!a == 'bcd'", true, false),
        ("a contains 'c'", false, true),
        ("a contains ''", false, true),
        ("a starts with 'bc'", false, true),
        ("a starts with 'cd'", false, false),
        ("a ends with 'cd'", false, true),
        ("a ends with 'bc'", false, false),
        ("a in {'x', 'bcd'}", false, true),
        ("a in {'x'}", false, false),
        ("a in {}", false, false),
        ("a not in {'x', 'bcd'}", true, false),
        ("a not in {'x'}", true, true),
        ("a not in {}", true, true),
        ("all()", true, true),
        ("global()", true, true),
        ("!all()", false, false),
        ("!global()", false, false),
        ("a contains 'BC'", false, false),
        ("a contains 'bcde'", false, false),
        ("a starts with ''", false, true),
        ("a ends with ''", false, true),
        ("a starts with 'bcd'", false, true),
        ("a == ''", false, false),
        ("a != ''", true, true),
        ("!a != 'bcd'", false, true),
        ("!a in {'bcd'}", true, false),
        ("!a not in {'bcd'}", false, true),
        ("!a contains 'c'", true, false),
        ("!a starts with 'b'", true, false),
        ("!a ends with 'd'", true, false),
        ("!(has(a) || has(other))", false, false),
        ("!has(a) && other == 'x'", true, false),
        ("has(a) || other == 'x'", true, true),
        ("has(a) && other == 'x'", false, false),
    ] {
        let selector = Selector::parse(text).expect(text);
        assert_eq!(selector.matches(&without), if_absent, "`{text}` without the label");
        assert_eq!(selector.matches(&with), if_present, "`{text}` with the label");
    }
}

#[test]
fn label_length_is_limited() {
    let longest = "x".repeat(512);
    assert!(Selector::parse(&format!("has({longest})")).is_ok());
    assert!(Selector::parse(&format!("has({longest}x)")).is_err());
}

#[test]
fn deep_nesting_is_refused_and_long_negation_is_not() {
    let nest = |n: usize| format!("{}has(a){}", "(".repeat(n), ")".repeat(n));
    assert_eq!(canonical(&nest(100)), "has(a)");
    assert!(Selector::parse(&nest(101)).is_err());
    assert!(Selector::parse(&nest(100_000)).is_err());
    assert_eq!(canonical(&format!("{}has(a)", "!".repeat(100_001))), "!has(a)");
    let wide = vec!["has(a)"; 100_000].join(" && ");
    assert!(
        matches!(Selector::parse(&wide).expect("wide").expr(), Expr::And(all) if all.len() == 100_000)
    );
}

#[test]
fn conjunction_leaves_out_all() {
    let parse = |text| Selector::parse(text).expect(text);
    let both = Selector::conjunction([parse("all()"), parse("has(a)"), parse("has(b)")]);
    assert_eq!(both.canonical(), "(has(a) && has(b))");
    assert_eq!(Selector::conjunction([parse("all()"), parse("has(a)")]).canonical(), "has(a)");
    assert!(Selector::conjunction([]).is_all());
}

#[test]
fn key_prefix_reaches_every_test() {
    let selector = Selector::parse("!(a == 'x' || has(b)) && c not in {'y'}").expect("selector");
    assert_eq!(
        selector.with_key_prefix("pcns.").canonical(),
        r#"(!(pcns.a == "x" || has(pcns.b)) && pcns.c not in {"y"})"#
    );
}

fn restricted(text: &str) -> Vec<(String, Restriction)> {
    match Selector::parse(text).expect(text).restrictions() {
        Restrictions::Impossible => panic!("`{text}` is impossible"),
        Restrictions::Labels(map) => map.into_iter().collect(),
    }
}

fn present(key: &str, values: Option<&[&str]>) -> (String, Restriction) {
    let must_have_one_of = values.map(|v| v.iter().map(|v| (*v).to_owned()).collect());
    (key.to_owned(), Restriction { must_be_present: true, must_be_absent: false, must_have_one_of })
}

#[test]
fn restrictions_of_tests() {
    let absent = Restriction { must_be_absent: true, ..Restriction::default() };
    for (text, expected) in [
        ("a == 'b'", vec![present("a", Some(&["b"]))]),
        ("a in {'b', 'c'}", vec![present("a", Some(&["b", "c"]))]),
        ("has(a)", vec![present("a", None)]),
        ("a contains 'x'", vec![present("a", None)]),
        ("a starts with 'x'", vec![present("a", None)]),
        ("a ends with 'x'", vec![present("a", None)]),
        ("!has(a)", vec![("a".to_owned(), absent)]),
        ("a != 'b'", vec![]),
        ("a not in {'b'}", vec![]),
        ("!a == 'b'", vec![]),
        ("all()", vec![]),
        ("a == 'b' && has(c)", vec![present("a", Some(&["b"])), present("c", None)]),
        ("a in {'b','c'} && a in {'c','d'}", vec![present("a", Some(&["c"]))]),
        ("a == 'b' || a == 'c'", vec![present("a", Some(&["b", "c"]))]),
        ("a == 'b' || has(a)", vec![present("a", None)]),
        ("a == 'b' || has(c)", vec![]),
        ("a == 'b' || all()", vec![]),
        ("a in {} || c == 'd'", vec![present("c", Some(&["d"]))]),
    ] {
        assert_eq!(restricted(text), expected, "`{text}`");
    }
}

/// What all() adds to a conjunction is nothing.
#[test]
fn a_conjunction_with_all_restricts_no_less() {
    for text in [
        "a == 'b'",
        "a in {'b', 'c'}",
        "has(a)",
        "!has(a)",
        "a contains 'x'",
        "a starts with 'x'",
        "a ends with 'x'",
        "a != 'b'",
        "a not in {'b'}",
        "!a == 'b'",
        "a == 'b' && has(c)",
        "a == 'b' || a == 'c'",
        "a == 'b' || has(c)",
        "a == 'b' && a in {'b', 'c'}",
        "(a == 'b' || a == 'c') && has(d)",
        "(has(a) && has(b)) || (has(a) && has(c))",
    ] {
        assert_eq!(restricted(&format!("all() && ({text})")), restricted(text), "`{text}`");
        assert_eq!(restricted(&format!("({text}) && all()")), restricted(text), "`{text}`");
        assert_eq!(restricted(&format!("all() || ({text})")), vec![], "`{text}`");
    }
}

#[test]
fn alternatives_keep_what_all_of_them_ask() {
    for (text, expected) in [
        ("(has(a) && has(b)) || (has(a) && has(c))", vec![present("a", None)]),
        ("(a == 'x' && has(b)) || a == 'y'", vec![present("a", Some(&["x", "y"]))]),
        ("(a == 'x' && !has(b)) || has(a)", vec![present("a", None)]),
        ("has(a) || !has(a)", vec![]),
        ("(a == 'b' && a == 'c') || has(d)", vec![present("d", None)]),
        ("a in {'x'} || a in {'x', 'y'} || a == 'z'", vec![present("a", Some(&["x", "y", "z"]))]),
    ] {
        assert_eq!(restricted(text), expected, "`{text}`");
    }
}

#[test]
fn impossible_selectors_are_known() {
    for text in ["a == 'b' && a == 'c'", "has(a) && !has(a)", "a in {}", "a in {} || b in {}"] {
        let selector = Selector::parse(text).expect(text);
        assert_eq!(selector.restrictions(), Restrictions::Impossible, "`{text}`");
    }
}

mod laws {
    use proptest::prelude::*;

    use super::super::{Expr, Restrictions, Selector};
    use crate::Labels;

    fn expr() -> impl Strategy<Value = Expr> {
        let key = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
        let value =
            || prop::sample::select(vec!["", "x", "xy", "y", "q\"q"]).prop_map(str::to_owned);
        let set = || prop::collection::btree_set(value(), 0..3);
        let leaf = prop_oneof![
            Just(Expr::All),
            Just(Expr::Global),
            key().prop_map(Expr::Has),
            (key(), value()).prop_map(|(k, v)| Expr::Equals(k, v)),
            (key(), value()).prop_map(|(k, v)| Expr::NotEquals(k, v)),
            (key(), value()).prop_map(|(k, v)| Expr::Contains(k, v)),
            (key(), value()).prop_map(|(k, v)| Expr::StartsWith(k, v)),
            (key(), value()).prop_map(|(k, v)| Expr::EndsWith(k, v)),
            (key(), set()).prop_map(|(k, v)| Expr::In(k, v)),
            (key(), set()).prop_map(|(k, v)| Expr::NotIn(k, v)),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|e| match e {
                    Expr::Not(inner) => *inner,
                    e => Expr::Not(Box::new(e)),
                }),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
                prop::collection::vec(inner, 2..4).prop_map(Expr::Or),
            ]
        })
    }

    fn some_labels() -> impl Strategy<Value = Labels> {
        let key = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
        let value = prop::sample::select(vec!["", "x", "xy", "y"]).prop_map(str::to_owned);
        prop::collection::btree_map(key, value, 0..3)
    }

    proptest! {
        #[test]
        fn canonical_text_parses_back(expr in expr()) {
            let selector = Selector::from(expr.clone());
            let again = Selector::parse(selector.canonical()).expect("canonical text parses");
            prop_assert_eq!(again.expr(), &expr);
        }

        #[test]
        fn restrictions_are_necessary(expr in expr(), labels in some_labels()) {
            let selector = Selector::from(expr);
            if !selector.matches(&labels) {
                return Ok(());
            }
            let Restrictions::Labels(map) = selector.restrictions() else {
                return Err(TestCaseError::fail("an impossible selector matched"));
            };
            for (key, restriction) in map {
                let value = labels.get(&key);
                prop_assert!(!restriction.must_be_present || value.is_some());
                prop_assert!(!restriction.must_be_absent || value.is_none());
                if let Some(one_of) = restriction.must_have_one_of {
                    prop_assert!(value.is_some_and(|value| one_of.contains(value)));
                }
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused_without_panic(text in "\\PC{0,60}") {
            if let Err(error) = Selector::parse(&text) {
                prop_assert!(error.at <= text.len());
            }
        }
    }
}

fn mk_selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

#[test]
fn a_narrower_selector_implies_a_wider_one_and_not_the_other_way_round() {
    let pairs = [
        ("a == 'x'", "has(a)"),
        ("a == 'x'", "all()"),
        ("a == 'x'", "a in {'x', 'y'}"),
        ("a == 'x' && b == 'y'", "a == 'x'"),
        ("a == 'x' && b == 'y' && has(c)", "has(c) && has(a)"),
        ("a == 'x'", "a == 'x' || b == 'y'"),
        ("a == 'x'", "a != 'y'"),
        ("a == 'xyz'", "a starts with 'x'"),
        ("a starts with 'xy'", "a starts with 'x'"),
        ("a ends with 'xy'", "a contains 'x'"),
        ("a in {'x', 'y'}", "a not in {'z'}"),
        ("!has(a)", "a != 'x'"),
        ("a not in {'x', 'y'}", "a != 'x'"),
        ("!has(a) && !has(b)", "!has(a)"),
        ("a == 'x' && has(b)", "(a == 'x' || a == 'y') && has(b)"),
    ];
    for (narrow, wide) in pairs {
        let (narrow, wide) = (mk_selector(narrow), mk_selector(wide));
        assert!(narrow.implies(&wide), "{narrow:?} => {wide:?}");
        assert!(!wide.implies(&narrow), "{wide:?} => {narrow:?}");
    }
}

#[test]
fn selectors_that_share_nothing_exclude_one_another() {
    let pairs = [
        ("a == 'x'", "a == 'y'"),
        ("a == 'x' && has(b)", "!has(b)"),
        ("a in {'x', 'y'}", "a not in {'x', 'y', 'z'}"),
        ("a == 'x'", "a starts with 'y'"),
        ("a != 'x'", "a == 'x'"),
        ("a == 'x' || a == 'y'", "a == 'z'"),
    ];
    for (one, other) in pairs {
        let (one, other) = (mk_selector(one), mk_selector(other));
        assert!(one.excludes(&other) && other.excludes(&one), "{one:?} and {other:?}");
    }
    let pairs = [("a == 'x'", "b == 'y'"), ("a == 'x'", "has(a)"), ("a != 'x'", "a != 'y'")];
    for (one, other) in pairs {
        let (one, other) = (mk_selector(one), mk_selector(other));
        assert!(!one.excludes(&other) && !other.excludes(&one), "{one:?} and {other:?}");
    }
}

/// Over every label set of two keys and three values, a claimed proof holds.
#[test]
fn proofs_hold_of_every_label_set() {
    let atoms = [
        "a == 'x'",
        "a == 'xy'",
        "a != 'x'",
        "has(a)",
        "!has(a)",
        "a in {'x', 'y'}",
        "a not in {'x'}",
        "a starts with 'x'",
        "a ends with 'y'",
        "a contains 'y'",
        "b == 'x'",
        "!has(b)",
        "all()",
    ];
    let mut texts: Vec<String> = atoms.iter().map(|atom| (*atom).to_owned()).collect();
    for one in atoms {
        for other in atoms {
            texts.push(format!("{one} && {other}"));
            texts.push(format!("{one} || {other}"));
            texts.push(format!("!({one} && {other})"));
        }
    }
    let selectors: Vec<Selector> = texts.iter().map(|text| mk_selector(text)).collect();
    let values = [None, Some("x"), Some("y"), Some("xy")];
    let mut label_sets = Vec::new();
    for a in values {
        for b in values {
            let pairs = [("a", a), ("b", b)].into_iter();
            let labels: crate::Labels =
                pairs.filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
            label_sets.push(labels);
        }
    }
    let (mut n_implied, mut n_excluded) = (0, 0);
    let matched: Vec<Vec<bool>> =
        selectors.iter().map(|s| label_sets.iter().map(|l| s.matches(l)).collect()).collect();
    for (one, of_one) in selectors.iter().zip(&matched) {
        for (other, of_other) in selectors.iter().zip(&matched) {
            let mut pairs = of_one.iter().zip(of_other);
            if one.implies(other) {
                n_implied += 1;
                assert!(pairs.clone().all(|(a, b)| !a || *b), "{one:?} => {other:?}");
            }
            if one.excludes(other) {
                n_excluded += 1;
                assert!(pairs.all(|(a, b)| !a || !b), "{one:?} and {other:?}");
            }
        }
    }
    assert!(n_implied > 20_000 && n_excluded > 2_000, "{n_implied} {n_excluded}");
}
