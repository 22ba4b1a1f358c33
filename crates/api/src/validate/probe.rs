//! Probes and life-cycle hooks.

use super::{
    causes::{Causes, Path},
    names,
};
use crate::{
    core_v1::{Container, HttpGetAction, LifecycleHandler, Probe, ProbeHandler},
    int_or_string::Value,
    meta_v1::IntOrString,
};

pub(super) fn probes(causes: &mut Causes, container: &Container, at: &Path<'_>) {
    if let Some(probe) = &container.readiness_probe {
        let at = at.field("readinessProbe");
        check(causes, probe, &at);
        if let Some(seconds) = probe.termination_grace_period_seconds {
            let why = "must not be set for readinessProbes";
            causes.invalid(&at.field("terminationGracePeriodSeconds"), seconds, why);
        }
    }
    for (field, probe) in [("livenessProbe", &container.liveness_probe), ("startupProbe", &container.startup_probe)] {
        let Some(probe) = probe else { continue };
        let at = at.field(field);
        check(causes, probe, &at);
        if probe.success_threshold != 1 {
            causes.invalid(&at.field("successThreshold"), probe.success_threshold, "must be 1");
        }
        if let Some(seconds @ ..=0) = probe.termination_grace_period_seconds {
            causes.invalid(&at.field("terminationGracePeriodSeconds"), seconds, "must be greater than 0");
        }
    }
    hooks(causes, container, &at.field("lifecycle"));
}

fn check(causes: &mut Causes, probe: &Probe, at: &Path<'_>) {
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        causes.not_negative(&at.field(field), value.into());
    }
    let none = ProbeHandler::default();
    handler(causes, probe.handler.as_ref().unwrap_or(&none), at);
}

fn handler(causes: &mut Causes, handler: &ProbeHandler, at: &Path<'_>) {
    let given =
        [handler.exec.is_some(), handler.http_get.is_some(), handler.tcp_socket.is_some(), handler.grpc.is_some()];
    match given.iter().filter(|given| **given).count() {
        0 => causes.required(at, "must specify a handler type: `httpGet` or `tcpSocket`"),
        1 => {}
        _ => causes.forbidden(at, "may not specify more than 1 handler type"),
    }
    if handler.exec.is_some() {
        let why = "a Wasm sandbox has no processes in which to run a command; use `httpGet` or `tcpSocket`";
        causes.forbidden(&at.field("exec"), why);
    }
    if handler.grpc.is_some() {
        causes.forbidden(&at.field("grpc"), "gRPC probes are not supported; use `httpGet` or `tcpSocket`");
    }
    if let Some(action) = &handler.http_get {
        http_get(causes, action, &at.field("httpGet"));
    }
    if let Some(action) = &handler.tcp_socket {
        let at = at.field("tcpSocket");
        own_host(causes, &action.host, &at);
        port(causes, action.port.as_ref(), &at);
    }
}

/// A probe that went elsewhere would say nothing of its container, and would reach what Pods must not reach.
fn own_host(causes: &mut Causes, host: &str, at: &Path<'_>) {
    if !host.is_empty() {
        let why = "a probe asks its own Pod; remove the field, and set a `Host` header in `httpHeaders` if the program wants a name";
        causes.forbidden(&at.field("host"), why);
    }
}

fn http_get(causes: &mut Causes, action: &HttpGetAction, at: &Path<'_>) {
    if action.path.is_empty() {
        causes.required(&at.field("path"), "");
    }
    own_host(causes, &action.host, at);
    causes.one_of(&at.field("scheme"), &action.scheme, &["HTTP", "HTTPS"]);
    if let Some(protocol) = &action.protocol {
        causes.one_of(&at.field("protocol"), protocol, &["TCP"]);
    }
    port(causes, action.port.as_ref(), at);
    for (index, header) in action.http_headers.iter().enumerate() {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if header.name.is_empty() || !header.name.bytes().all(token) {
            let why = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name')";
            causes.invalid(&at.field("httpHeaders").index(index).field("name"), &header.name, why);
        }
    }
}

fn port(causes: &mut Causes, port: Option<&IntOrString>, at: &Path<'_>) {
    let at = at.field("port");
    match port.map(IntOrString::value) {
        None => causes.required(&at, ""),
        Some(Value::Int(number)) => causes.port(&at, number),
        Some(Value::Text(name)) => causes.syntax(&at, name, names::port_name),
    }
}

/// Hooks have no effect (a warning says so), but what is written there must still mean something.
fn hooks(causes: &mut Causes, container: &Container, at: &Path<'_>) {
    let Some(lifecycle) = &container.lifecycle else { return };
    for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
        let Some(LifecycleHandler { exec, http_get, tcp_socket, sleep }) = hook else { continue };
        let given = [exec.is_some(), http_get.is_some(), tcp_socket.is_some(), sleep.is_some()];
        match given.iter().filter(|given| **given).count() {
            0 => causes.required(&at.field(field), "must specify a handler type"),
            1 => {}
            _ => causes.forbidden(&at.field(field), "may not specify more than 1 handler type"),
        }
    }
}
