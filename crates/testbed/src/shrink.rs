//! Greedy shrinking: the smallest part of a failing input that still fails.

/// Leaves out as many items as it can, largest pieces first, while `fails` says so.
pub fn shrink<T: Clone>(items: &[T], fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut kept = items.to_vec();
    let mut piece = kept.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        let mut shrunk = false;
        while start < kept.len() {
            let end = (start + piece).min(kept.len());
            let without: Vec<T> = kept[..start].iter().chain(&kept[end..]).cloned().collect();
            if fails(&without) {
                kept = without;
                shrunk = true;
            } else {
                start = end;
            }
        }
        match (piece, shrunk) {
            (1, false) => return kept,
            (1, true) => {}
            _ => piece = piece.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn keeps_only_what_the_failure_needs() {
        let items: Vec<u32> = (0..100).collect();
        let fails = |part: &[u32]| part.contains(&17) && part.contains(&71);
        assert_eq!(shrink(&items, fails), [17, 71]);
    }

    #[test]
    fn an_input_that_needs_everything_stays_whole() {
        assert_eq!(shrink(&[1, 2, 3], |part| part.len() == 3), [1, 2, 3]);
    }
}
