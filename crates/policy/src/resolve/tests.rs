//! Painting, checked key by key against the obvious reading.

use bulkhead_types::Decision;
use bulkhead_wire::row::Leaf;
use bulkhead_wire::{RuleId, Spans};

use super::logs::LogLists;
use super::paint::{Canvas, EVERYTHING, Interval, Layer, Word, normalise, subtract};

fn say(rule: u64) -> Word {
    Some(Leaf { decision: Decision::Allow, rule: RuleId(rule) })
}

fn spans(layer: Layer) -> Spans {
    let layer = layer.over(Layer::uniform(say(99)), &mut LogLists::default());
    layer.into_spans(|say| say.word).expect("total")
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
        let strokes: Vec<(Interval, Vec<Interval>, Word)> = (0..dice.roll(8))
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

/// What a stroke does: it decides or passes, or it logs.
#[derive(Clone, Copy)]
enum Stroke {
    Word(Word),
    Log(RuleId),
}

/// A tier: its strokes, and whether its end denies.
type Strokes = Vec<(Interval, Vec<Interval>, Stroke)>;

fn mk_tier(dice: &mut Dice, number: u64) -> Strokes {
    let mut stroke = |rule| {
        let sources = match dice.roll(3) {
            0 => normalise(vec![dice.interval(), dice.interval()]),
            _ => vec![EVERYTHING],
        };
        let what = match dice.roll(5) {
            0 => Stroke::Word(None),
            1 | 2 => Stroke::Word(say(rule)),
            _ => Stroke::Log(RuleId(rule)),
        };
        (dice.interval(), sources, what)
    };
    (0..8).map(|rule| stroke(number * 100 + rule)).collect()
}

/// The obvious reading: stroke after stroke, tier after tier.
fn read(tiers: &[Strokes], key: u16, source: u16) -> (u64, Vec<RuleId>) {
    let covers = |(start, end): &Interval, x| *start <= x && x <= *end;
    let mut logged = Vec::new();
    for tier in tiers {
        let met = tier.iter().filter(|(keys, sources, _)| {
            covers(keys, key) && sources.iter().any(|s| covers(s, source))
        });
        for (_, _, stroke) in met {
            match stroke {
                Stroke::Log(rule) => logged.push(*rule),
                Stroke::Word(None) => break,
                Stroke::Word(Some(leaf)) => return (leaf.rule.0, logged),
            }
        }
    }
    (99, logged)
}

#[test]
fn what_was_logged_goes_with_the_word_that_decides_in_whatever_tier() {
    let keys: Vec<u16> = (0..16).chain(65525..=65535).collect();
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let tiers: Vec<Strokes> = (0..3).map(|number| mk_tier(&mut dice, number)).collect();
        let mut lists = LogLists::default();
        let mut whole = Layer::uniform(say(99));
        for tier in tiers.iter().rev() {
            let mut canvas = Canvas::default();
            for (key, sources, stroke) in tier {
                match stroke {
                    Stroke::Word(word) => canvas.paint(*key, sources, *word),
                    Stroke::Log(rule) => canvas.log(*key, sources, *rule, &mut lists),
                }
            }
            whole = canvas.finish(None).over(whole, &mut lists);
        }
        // Rule and list as one number, so that a leaf shows both.
        let mut shown: Vec<(u64, Vec<RuleId>)> = Vec::new();
        let spans = whole
            .into_spans(|said| {
                let behind = (said.word?.rule.0, lists.get(said.logs).to_vec());
                let place = shown.iter().position(|known| *known == behind);
                let number = place.unwrap_or_else(|| {
                    shown.push(behind);
                    shown.len() - 1
                });
                say(number as u64)
            })
            .expect("total");
        for &key in &keys {
            for &source in &keys {
                let met = &shown[found(&spans, key, source) as usize];
                assert_eq!(*met, read(&tiers, key, source), "seed {seed} {key} {source}");
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
