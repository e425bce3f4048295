//! What was found to be changed by somebody else, kept for a while so that a status can say it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const TOLD_FOR: Duration = Duration::from_secs(30);
const TOLD_MAX: usize = 16;

#[derive(Debug, Default)]
pub struct ToldLately(VecDeque<(Instant, String)>);

impl ToldLately {
    pub fn tell(&mut self, sentence: String) {
        tracing::warn!("drift: {sentence}");
        while self.0.len() >= TOLD_MAX {
            self.0.pop_front();
        }
        self.0.push_back((Instant::now(), sentence));
    }

    pub fn told(&mut self) -> Vec<String> {
        while self.0.front().is_some_and(|(at, _)| at.elapsed() > TOLD_FOR) {
            self.0.pop_front();
        }
        self.0.iter().map(|(_, sentence)| sentence.clone()).collect()
    }
}
