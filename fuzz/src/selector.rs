//! Any text is a selector or an error with a place; a selector's canonical text is its identity.

use bulkhead_types::selector::Restrictions;
use bulkhead_types::{Labels, Selector};

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let selector = match Selector::parse(&text) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(error.at <= text.len(), "the error is beyond the end: {error}");
            assert!(text.is_char_boundary(error.at), "the error is within a character: {error}");
            return;
        }
    };
    let canonical = selector.canonical().to_owned();
    let again = match Selector::parse(&canonical) {
        Ok(again) => again,
        Err(error) => panic!("the canonical form `{canonical}` is refused: {error}"),
    };
    assert_eq!(again.canonical(), canonical, "the canonical form is not stable");
    let restrictions = selector.restrictions();
    for labels in label_sets(&text) {
        let matches = selector.matches(&labels);
        assert_eq!(again.matches(&labels), matches, "`{canonical}` means something else");
        if matches {
            check_necessary(&restrictions, &labels);
        }
    }
}

fn check_necessary(restrictions: &Restrictions, labels: &Labels) {
    let Restrictions::Labels(map) = restrictions else { panic!("an impossible selector matched") };
    for (key, restriction) in map {
        let value = labels.get(key);
        assert!(!restriction.must_be_present || value.is_some(), "{key} is missing");
        assert!(!restriction.must_be_absent || value.is_none(), "{key} is there");
        if let Some(one_of) = &restriction.must_have_one_of {
            assert!(value.is_some_and(|value| one_of.contains(value)), "{key} is another");
        }
    }
}

/// None, and every word of the text as key with some other word of it as value.
fn label_sets(text: &str) -> Vec<Labels> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '-');
    let words: Vec<&str> =
        text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).take(12).collect();
    let mut sets = vec![Labels::new()];
    for turn in 0..words.len().min(4) {
        let value = |index: usize| words[(index + turn) % words.len()].to_owned();
        let pairs = words.iter().enumerate();
        sets.push(pairs.map(|(index, key)| ((*key).to_owned(), value(index))).collect());
    }
    sets
}
