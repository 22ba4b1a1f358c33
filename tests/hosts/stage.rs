//! The cluster that everything happens to: three masters, three workers, and a Deployment behind two Services.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use serde_json::Value;

use crate::{
    lab::{Answer, Lab, sample},
    patience::wait_until,
};

pub(crate) const MASTERS: [&str; 3] = ["m1", "m2", "m3"];
pub(crate) const WORKERS: [&str; 3] = ["w1", "w2", "w3"];

/// The size of the Deployment while nothing happens to it: two Pods on each worker.
const REPLICAS: usize = 6;

/// The protocol number of the routes that workers set.
const ROUTES: &str = "75";

/// How much room the disk of the last worker has, in mebibytes.
const DISK_MIB: u64 = 128;

/// The Services before the Deployment, and the port of each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    /// Each request may go to another Pod.
    Web,
    /// A client stays with one Pod.
    Sticky,
}

/// The cluster.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    /// The last version that was applied.
    version: u32,
    /// Whether the last worker has a small disk of its own.
    pub(crate) has_disk: bool,
}

impl Stage {
    /// A cluster with everything ready, or nothing where namespaces cannot be made.
    pub(crate) fn new() -> Option<Self> {
        let mut lab = Lab::new(&["m1", "m2", "m3", "w1", "w2", "w3", "w4"])?;
        let has_disk = lab.disk("w3", DISK_MIB);
        lab.three_masters();
        let mut stage = Self { lab, version: 1, has_disk };
        for worker in WORKERS {
            stage.joins(worker);
        }
        stage.lab.kapelle("m1", &format!("push {} hello-http:v1", sample("hello-http").display())).ok();
        let services = [Service::Web, Service::Sticky].map(Service::manifest).join("---\n");
        stage.lab.apply("m1", "services.yaml", &services).ok();
        stage.rolls_out();
        for worker in WORKERS {
            for service in [Service::Web, Service::Sticky] {
                let url = stage.url(service);
                wait_until("an answer on every node", || stage.lab.get(worker, &url));
            }
        }
        Some(stage)
    }

    /// Lets a worker join.
    pub(crate) fn joins(&mut self, worker: &'static str) {
        let token = self.lab.token("m1", &format!("--role worker --node {worker}"));
        self.lab.worker(worker, Some(&token));
        self.lab.ready(worker);
    }

    /// `kapelle` as the first master's administrator.
    pub(crate) fn kapelle(&self, line: &str) -> Answer {
        self.lab.kapelle("m1", line)
    }

    /// `kubectl` as the first master's administrator.
    pub(crate) fn kubectl(&self, line: &str) -> Answer {
        let (config, cache) = (self.lab.kubeconfig("m1"), self.lab.file("kubectl-cache"));
        let mut arguments: Vec<&str> = line.split_whitespace().collect();
        arguments.extend(["--kubeconfig", config.to_str().unwrap(), "--cache-dir", cache.to_str().unwrap()]);
        self.lab.on("m1", "kubectl", &arguments)
    }

    /// Whether this machine has `kubectl`; says so if not.
    pub(crate) fn has_kubectl(&self) -> bool {
        let has = std::process::Command::new("kubectl").args(["version", "--client"]).output();
        let has = has.is_ok_and(|output| output.status.success());
        if !has {
            assert!(std::env::var_os("CI").is_none(), "CI must have kubectl");
            eprintln!("skipped: no kubectl on this machine");
        }
        has
    }

    /// An object, or all of a kind.
    pub(crate) fn object(&self, line: &str) -> Result<Value, String> {
        let text = self.kapelle(&format!("get {line} -o json")).printed()?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// The version that answers now.
    pub(crate) fn version(&self) -> String {
        format!("version v{}\n", self.version)
    }

    /// Applies the Deployment with a version that was never there, and waits until it is all there is.
    pub(crate) fn rolls_out(&mut self) {
        self.version += 1;
        let manifest = DEPLOYMENT.replace("{replicas}", &REPLICAS.to_string());
        let manifest = manifest.replace("{version}", &format!("v{}", self.version));
        self.lab.apply("m1", "web.yaml", &manifest).ok();
        self.rolled_out();
    }

    /// Sets the number of Pods, and waits for it.
    pub(crate) fn scales(&self, replicas: usize) {
        self.kapelle(&format!("scale deployment/web --replicas={replicas}")).ok();
        self.rolled_out();
        wait_until("exactly as many Pods", || match self.pods()?.len() {
            now if now == replicas => Ok(()),
            now => Err(format!("{now} Pods, not {replicas}")),
        });
    }

    /// Back to what every row begins with: Pods on every worker.
    pub(crate) fn rests(&mut self) {
        self.scales(REPLICAS);
        if WORKERS.iter().any(|worker| self.pods_on(worker).unwrap().is_empty()) {
            self.rolls_out();
        }
    }

    fn rolled_out(&self) {
        wait_until("the rollout", || self.kapelle("rollout status deployment/web --timeout=180s").printed());
    }

    /// The Pods of the Deployment.
    pub(crate) fn pods(&self) -> Result<Vec<Value>, String> {
        Ok(self.object("pods -l app=web")?["items"].as_array().cloned().unwrap_or_default())
    }

    /// The names of the Pods on a node.
    pub(crate) fn pods_on(&self, node: &str) -> Result<Vec<String>, String> {
        let pods = self.pods()?;
        let on = pods.iter().filter(|pod| pod["spec"]["nodeName"] == node);
        Ok(on.map(|pod| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// How many Pods of a node requests are sent to.
    pub(crate) fn endpoints_on(&self, node: &str) -> Result<usize, String> {
        let slices = self.object("endpointslices -l kubernetes.io/service-name=web")?;
        let slices = slices["items"].as_array().cloned().unwrap_or_default();
        let endpoints = slices.iter().filter_map(|slice| slice["endpoints"].as_array()).flatten();
        let on = |endpoint: &&Value| endpoint["nodeName"] == node && endpoint["conditions"]["ready"] == true;
        Ok(endpoints.filter(on).count())
    }

    /// The status of a condition of a Node.
    pub(crate) fn condition(&self, node: &str, kind: &str) -> Result<String, String> {
        let node = self.object(&format!("node {node}"))?;
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = conditions.iter().find(|condition| condition["type"] == kind).ok_or("no such condition")?;
        Ok(condition["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Where a Service answers.
    pub(crate) fn address(&self, service: Service) -> SocketAddr {
        self.address_of(service.name())
    }

    /// Where the Service of a name answers.
    pub(crate) fn address_of(&self, name: &str) -> SocketAddr {
        let spec = &self.object(&format!("service {name}")).unwrap()["spec"];
        format!("{}:{}", spec["clusterIP"].as_str().unwrap(), spec["ports"][0]["port"]).parse().unwrap()
    }

    pub(crate) fn url(&self, service: Service) -> String {
        format!("http://{}/", self.address(service))
    }

    /// Removes every route that a worker has set on its host, as a reboot does.
    pub(crate) fn forgets_routes(&self, worker: &str) {
        for table in ["main", "local"] {
            self.lab.on(worker, "ip", &["route", "flush", "table", table, "proto", ROUTES]).ok();
        }
    }

    /// What all processes complained about, for a row that went wrong.
    pub(crate) fn complaints(&self) -> String {
        let mut text = String::new();
        for host in [&MASTERS[..], &WORKERS[..]].concat() {
            let complaints = self.lab.complaints(host);
            let tail: Vec<&str> = complaints.lines().rev().take(5).collect();
            let _ = writeln!(text, "{host}: {}", tail.join(" | "));
        }
        text
    }
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Sticky => "sticky",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Web => 8080,
            Self::Sticky => 8081,
        }
    }

    fn manifest(self) -> String {
        let affinity = match self {
            Self::Web => "None",
            Self::Sticky => "ClientIP",
        };
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {}}}\nspec:\n  selector: {{app: web}}\n  \
             sessionAffinity: {affinity}\n  ports: [{{name: http, port: {}, targetPort: http}}]\n",
            self.name(),
            self.port(),
        )
    }
}

/// How long a client rests between two requests: so that clients ask some hundreds of times a second, which leaves the
/// rest of the cluster its share of a small machine.
pub(crate) const REST: Duration = Duration::from_millis(200);

/// A slow machine may have every client in one Pod at once: its memory is for more instances than there are clients.
const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{operator: Exists, effect: NoExecute}]
      containers:
      - name: web
        image: hello-http:v1
        ports: [{name: http, containerPort: 8080}]
        env:
        - {name: VERSION, value: '{version}'}
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        readinessProbe: {httpGet: {path: /healthz, port: http}}
        resources:
          requests: {cpu: 1m, memory: 1Mi}
          limits: {memory: 128Mi}
";
