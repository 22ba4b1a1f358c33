//! How processes talk: services, typed client, identity.
