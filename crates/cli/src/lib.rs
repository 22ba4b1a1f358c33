//! Manifests in, tables out.
