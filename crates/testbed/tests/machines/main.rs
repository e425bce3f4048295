//! Real workloads on a lab's node: containers that runc starts in networks of stock CNI plugins, and a
//! virtual machine. Needs root and the packages of `cargo xtask setup`, and says so by failing.

#[cfg(test)]
mod container;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod guest;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod lockout;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod node;
