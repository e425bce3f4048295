//! Real workloads on a lab's node: containers that runc starts in networks of stock CNI plugins, and a
//! virtual machine. Needs root and the packages of `cargo xtask setup`, and says so by failing.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panic")]

#[cfg(test)]
mod container;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod guest;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod node;
