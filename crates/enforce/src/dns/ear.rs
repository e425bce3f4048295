//! From what the kernel held back to lessons: pure but for the clock that is handed in.
//!
//! A UDP answer counts only where its endpoint has asked this question with this number from this port:
//! so a stranger must guess all of it, and guess before the resolver answers. A TCP answer counts by
//! its place in the stream that the endpoint opened.

use std::collections::{BTreeMap, VecDeque};

use bulkhead_enforce_abi::{FlowKey, HEARD_ANSWER, HEARD_OPENED, HEARD_QUESTION, Heard};

use super::frame::{Part, parts};
use super::message::{self, Question};
use super::stream::Streams;
use super::{Answer, DnsReport};
use crate::limits::dns::{QUESTION_NS, QUESTIONS_PER_LOOKER_MAX, STREAM_IDLE_NS};

const UDP: u8 = 17;

#[derive(Debug, Default)]
pub struct Ear {
    streams: Streams,
    /// By endpoint, oldest first.
    questions: BTreeMap<u32, VecDeque<Asked>>,
}

#[derive(Debug)]
struct Asked {
    key: FlowKey,
    question: Question,
    at_ns: u64,
}

/// One frame that goes on once its answers are known to the kernel.
#[derive(Debug)]
pub struct Lesson {
    pub part: Part,
    pub answers: Vec<Answer>,
    /// It repeats what could not be learned.
    pub is_refused: bool,
}

impl Ear {
    pub fn take(&mut self, head: &Heard, frame: &[u8], report: &mut DnsReport) -> Vec<Lesson> {
        let parts = parts(head, frame);
        match head.kind {
            HEARD_QUESTION => {
                for part in parts {
                    self.ask(head, &part);
                }
            }
            HEARD_OPENED => {
                if let [only] = parts.as_slice() {
                    self.streams.open(head.key, only.number, head.seen_ns);
                }
            }
            HEARD_ANSWER => {
                return parts.into_iter().map(|part| self.lesson(head, part, report)).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    fn ask(&mut self, head: &Heard, part: &Part) {
        let payload = part.frame.get(part.payload.clone()).unwrap_or_default();
        let Ok(question) = message::question(payload) else { return };
        let asked = self.questions.entry(head.key.endpoint).or_default();
        if asked.len() >= QUESTIONS_PER_LOOKER_MAX {
            asked.pop_front();
        }
        asked.push_back(Asked { key: head.key, question, at_ns: head.seen_ns });
    }

    fn lesson(&mut self, head: &Heard, part: Part, report: &mut DnsReport) -> Lesson {
        let mut lesson = Lesson { part, answers: Vec::new(), is_refused: false };
        if !lesson.part.is_sound {
            report.n_unread += 1;
            return lesson;
        }
        let payload = lesson.part.frame.get(lesson.part.payload.clone()).unwrap_or_default();
        if payload.is_empty() {
            return lesson;
        }
        if head.key.protocol == UDP {
            match message::answer(payload) {
                Ok((question, answer)) if self.was_asked(head, &question) => {
                    lesson.answers.push(answer);
                }
                Ok(_) => report.n_unasked += 1,
                Err(message::Unread) => report.n_unread += 1,
            }
            return lesson;
        }
        lesson.is_refused = self.streams.is_refused(&head.key);
        match self.streams.push(&head.key, lesson.part.number, payload, head.seen_ns) {
            Ok(messages) => {
                for bytes in messages {
                    match message::answer(&bytes) {
                        Ok((_, answer)) => lesson.answers.push(answer),
                        Err(message::Unread) => report.n_unread += 1,
                    }
                }
            }
            Err(_) => report.n_unread += 1,
        }
        lesson
    }

    /// A question is answered once.
    fn was_asked(&mut self, head: &Heard, question: &Question) -> bool {
        let Some(asked) = self.questions.get_mut(&head.key.endpoint) else { return false };
        let is_it = |known: &Asked| {
            known.key == head.key
                && known.question == *question
                && known.at_ns.saturating_add(QUESTION_NS) >= head.seen_ns
        };
        let Some(place) = asked.iter().rposition(is_it) else { return false };
        asked.remove(place).is_some()
    }

    /// Nothing more of this stream goes on.
    pub fn refuse(&mut self, key: &FlowKey) {
        self.streams.refuse(key);
    }

    pub fn forget(&mut self, now_ns: u64) {
        self.streams.forget(now_ns.saturating_sub(STREAM_IDLE_NS));
        for asked in self.questions.values_mut() {
            asked.retain(|known| known.at_ns.saturating_add(QUESTION_NS) >= now_ns);
        }
        self.questions.retain(|_, asked| !asked.is_empty());
    }
}
