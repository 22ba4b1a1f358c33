//! Pods in every state, and what the questions answer.
