//! What a back end leaves out of a program.

use bulkhead_types::RuleRef;
use bulkhead_wire::NodeProgram;

/// What the kernel programs do not judge yet, which must not go unsaid: rules by name, of which no
/// packet shows anything (an Allow lets nothing through and a Deny stops nothing).
pub fn unheeded(program: &NodeProgram, heeds_names: bool) -> Vec<String> {
    let rules = if heeds_names { Vec::new() } else { program.rules_by_name() };
    let named = rules.iter().take(UNHEEDED_NAMED_MAX).map(|rule| match rule {
        RuleRef::Rule { policy, direction, index, .. } => {
            format!("rule {index} ({direction}) of {policy} is by DNS name: it decides nothing yet")
        }
        other => format!("{other:?} is by DNS name: it decides nothing yet"),
    });
    let rest = rules.len().saturating_sub(UNHEEDED_NAMED_MAX);
    let more = (rest > 0).then(|| format!("{rest} more rules are by DNS name"));
    named.chain(more).collect()
}

/// Rules by name that a report names.
const UNHEEDED_NAMED_MAX: usize = 16;
