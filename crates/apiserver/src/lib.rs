//! The one door to the cluster's state: gRPC and the Kubernetes REST API.
