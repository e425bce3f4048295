//! What was found to be changed by somebody else, kept for a while so that a status can say it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const TOLD_FOR: Duration = Duration::from_secs(30);
const TOLD_MAX: usize = 16;

#[derive(Debug, Default)]
pub struct ToldLately {
    n_told: u64,
    lately: VecDeque<(Instant, String)>,
}

impl ToldLately {
    pub fn tell(&mut self, sentence: String) {
        // The number tells the same finding at two times apart.
        self.n_told += 1;
        let sentence = format!("drift {}: {sentence}", self.n_told);
        tracing::warn!("{sentence}");
        while self.lately.len() >= TOLD_MAX {
            self.lately.pop_front();
        }
        self.lately.push_back((Instant::now(), sentence));
    }

    pub fn told(&mut self) -> Vec<String> {
        while self.lately.front().is_some_and(|(at, _)| at.elapsed() > TOLD_FOR) {
            self.lately.pop_front();
        }
        self.lately.iter().map(|(_, sentence)| sentence.clone()).collect()
    }
}
