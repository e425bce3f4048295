//! Painting, checked key by key against the obvious reading.

use bulkhead_types::Decision;
use bulkhead_wire::row::Leaf;
use bulkhead_wire::{RuleId, Spans};

use super::paint::{Canvas, EVERYTHING, Interval, Layer, Say, normalise, subtract};

fn say(rule: u64) -> Say {
    Some(Leaf { decision: Decision::Allow, rule: RuleId(rule) })
}

fn spans(layer: Layer) -> Spans {
    layer.over(Layer::uniform(say(99))).into_spans().expect("total")
}

fn found(spans: &Spans, key: u16, source: u16) -> u64 {
    spans.find(key, source).expect("total").rule.0
}

#[test]
fn earlier_strokes_stay_on_top() {
    let mut canvas = Canvas::default();
    canvas.paint((80, 80), &[EVERYTHING], say(1));
    canvas.paint((70, 90), &[EVERYTHING], say(2));
    canvas.paint((0, u16::MAX), &[EVERYTHING], say(3));
    assert!(canvas.is_full());
    let spans = spans(canvas.finish(say(4)));
    for (key, rule) in
        [(0, 3), (69, 3), (70, 2), (79, 2), (80, 1), (81, 2), (90, 2), (91, 3), (65535, 3)]
    {
        assert_eq!(found(&spans, key, 0), rule, "key {key}");
    }
    assert_eq!(spans.as_slice().len(), 5);
}

#[test]
fn both_ends_of_the_key_space_can_be_painted() {
    let mut canvas = Canvas::default();
    canvas.paint((0, 0), &[EVERYTHING], say(1));
    canvas.paint((65535, 65535), &[EVERYTHING], say(2));
    let spans = spans(canvas.finish(None));
    for (key, rule) in [(0, 1), (1, 99), (65534, 99), (65535, 2)] {
        assert_eq!(found(&spans, key, 0), rule, "key {key}");
    }
}

#[test]
fn source_ports_divide_a_key() {
    let mut canvas = Canvas::default();
    canvas.paint((80, 81), &[(100, 200), (300, 65535)], say(1));
    canvas.paint((81, 82), &[(150, 350)], say(2));
    canvas.paint((82, 82), &[EVERYTHING], say(3));
    let spans = spans(canvas.finish(None));
    for (key, source, rule) in [
        (80, 99, 99),
        (80, 100, 1),
        (80, 200, 1),
        (80, 201, 99),
        (80, 300, 1),
        (81, 99, 99),
        (81, 150, 1),
        (81, 201, 2),
        (81, 299, 2),
        (81, 300, 1),
        (82, 149, 3),
        (82, 150, 2),
        (82, 350, 2),
        (82, 351, 3),
        (82, 65535, 3),
        (83, 150, 99),
    ] {
        assert_eq!(found(&spans, key, source), rule, "key {key} source {source}");
    }
}

#[test]
fn nothing_is_painted_without_source_ports() {
    let mut canvas = Canvas::default();
    canvas.paint(EVERYTHING, &[], say(1));
    assert_eq!(canvas.finish(say(2)), Layer::uniform(say(2)));
}

/// A small generator of its own: this crate's unit tests cannot use `testbed`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Near the ends and around a few points, where mistakes are.
    fn interval(&mut self) -> Interval {
        let mut edge = || {
            let base = [0, 5, 10, 65530, 65535][self.roll(5) as usize];
            (base as u64 + self.roll(4)).min(65535) as u16
        };
        let (a, b) = (edge(), edge());
        (a.min(b), a.max(b))
    }
}

#[test]
fn painting_is_first_match() {
    let keys: Vec<u16> = (0..16).chain(65525..=65535).collect();
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let strokes: Vec<(Interval, Vec<Interval>, Say)> = (0..dice.roll(8))
            .map(|rule| {
                let sources = match dice.roll(3) {
                    0 => normalise(vec![dice.interval(), dice.interval()]),
                    _ => vec![EVERYTHING],
                };
                let says = if dice.roll(4) == 0 { None } else { say(rule) };
                (dice.interval(), sources, says)
            })
            .collect();
        let mut canvas = Canvas::default();
        for (key, sources, say) in &strokes {
            canvas.paint(*key, sources, *say);
        }
        let spans = spans(canvas.finish(None));
        for &key in &keys {
            for &source in &keys {
                let covers = |(start, end): &Interval, x| *start <= x && x <= *end;
                let first = strokes.iter().find(|(keys, sources, _)| {
                    covers(keys, key) && sources.iter().any(|s| covers(s, source))
                });
                let expected = first.and_then(|(_, _, say)| *say).map_or(99, |leaf| leaf.rule.0);
                assert_eq!(found(&spans, key, source), expected, "seed {seed} {key} {source}");
            }
        }
    }
}

#[test]
fn set_algebra_of_intervals() {
    assert_eq!(normalise(vec![(5, 9), (0, 1), (2, 3), (9, 12)]), [(0, 3), (5, 12)]);
    assert_eq!(normalise(vec![(65535, 65535), (0, 65534)]), [EVERYTHING]);
    assert_eq!(subtract(&[EVERYTHING], &[(0, 0), (65535, 65535)]), [(1, 65534)]);
    assert_eq!(subtract(&[(5, 10)], &[(7, 8)]), [(5, 6), (9, 10)]);
    assert_eq!(subtract(&[(5, 10)], &[EVERYTHING]), []);
    assert_eq!(subtract(&[(5, 10), (20, 30)], &[(10, 25)]), [(5, 9), (26, 30)]);
}
