//! Operations on their way into the kernel and the tables.

use super::Ebpf;
use crate::kernel::{Kernel, KernelOp};
use crate::node::EnforceError;

impl Ebpf {
    pub(super) fn carry_out(&mut self, op: &KernelOp) -> Result<(), EnforceError> {
        if self.learner.has_begun() {
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
