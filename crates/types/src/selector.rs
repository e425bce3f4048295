//! Label selectors: the grammar, its canonical form and its evaluation.
