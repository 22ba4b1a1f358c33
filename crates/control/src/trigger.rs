//! Whom a change concerns: every controller is asked, for each declares it beside its `reconcile`.

use crate::{
    controller::Controller,
    queue::Task,
    world::{Shift, World},
};

/// Calls `push` for every task that a change concerns. Whoever looks at the changed object itself comes last: what others
/// decide because of the change, as its owner does, may be about that object.
pub(crate) fn concerned(world: &World, shift: &Shift, push: &mut dyn FnMut(Task)) {
    if shift.before.is_none() && shift.after.is_none() {
        return;
    }
    let mut own = [false; Controller::ALL.len()];
    for (controller, looks_at_it) in Controller::ALL.iter().copied().zip(&mut own) {
        controller.concerns(world, shift, &mut |key| {
            if key == shift.key {
                *looks_at_it = true;
            } else {
                push(Task { controller, key });
            }
        });
    }
    let own = Controller::ALL.iter().copied().zip(own).filter(|(_, looks_at_it)| *looks_at_it);
    own.for_each(|(controller, _)| push(Task { controller, key: shift.key.clone() }));
}

#[cfg(test)]
mod tests;
