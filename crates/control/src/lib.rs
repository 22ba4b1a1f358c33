//! What should happen next: every controller and the scheduler.
