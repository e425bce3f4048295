//! Operations, from the plan on their way into the kernel and the tables.

use std::sync::Arc;

use bulkhead_wire::NodeProgram;

use super::Ebpf;
use crate::ebpf::{Bindings, Ground, plan_on, plan_places};
use crate::kernel::{Kernel, KernelOp};
use crate::node::EnforceError;

impl Ebpf {
    /// Where only places have moved since the last plan, nothing else is looked at.
    pub(super) fn plan(
        &mut self,
        program: &Arc<NodeProgram>,
        bindings: &Bindings,
        ground: &Ground,
    ) -> Result<Vec<KernelOp>, EnforceError> {
        let (sizes, cache) = (self.kernel.sizes(), &self.learner.cache);
        let whole = self.whole.take();
        let is_whole = whole
            .as_ref()
            .is_some_and(|(known, hosts)| Arc::ptr_eq(known, program) && *hosts == ground.hosts);
        let moved = if is_whole {
            plan_places(&self.tables, program, bindings, ground, sizes, cache)?
        } else {
            None
        };
        let was = whole.as_ref().map(|(known, _)| known.as_ref());
        match moved {
            Some(ops) => Ok(ops),
            None => plan_on(&self.tables, was, program, bindings, ground, sizes, cache),
        }
    }

    pub(super) fn carry_out(&mut self, op: &KernelOp) -> Result<(), EnforceError> {
        if self.listener.has_begun() {
            self.give_sign();
        }
        match self.kernel.apply(op) {
            Ok(()) => {
                self.tables.apply(op);
                Ok(())
            }
            Err(error) => {
                self.is_stale = true;
                Err(error)
            }
        }
    }

    /// Everything up to the grace period; what is to follow it is returned.
    pub(super) fn carry_on(&mut self, ops: Vec<KernelOp>) -> Result<Vec<KernelOp>, EnforceError> {
        let mut ops = ops.into_iter();
        for op in ops.by_ref().take_while(|op| *op != KernelOp::Grace) {
            if let Err(error) = self.carry_out(&op) {
                // Names mean again what they mean in the program that stays.
                self.learner.take_back();
                return Err(error);
            }
        }
        Ok(ops.collect())
    }
}
