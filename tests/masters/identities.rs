//! What each identity may do, as SPECIFICATION's table says: every cell is asked of a real cluster, with a real certificate or
//! token.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{
    lab::{Lab, sample},
    patience::wait_until,
};

/// How the table of SPECIFICATION begins; its columns are those who ask.
const HEAD: &str = "| request | administrator | `admin` | `edit` | `view` | account | worker | nobody |";

/// A shop with a Pod on each worker, of which one uses a Secret, and people with a role in it; and somebody else's namespace.
const OBJECTS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: other}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: open, namespace: shop}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: open, namespace: other}}
---
{apiVersion: v1, kind: Secret, metadata: {name: used, namespace: shop}, stringData: {word: w}}
---
{apiVersion: v1, kind: Secret, metadata: {name: safe, namespace: shop}, stringData: {word: w}}
---
apiVersion: v1
kind: Pod
metadata: {name: till, namespace: shop}
spec:
  nodeName: w1
  containers: [{name: c, image: 'hello-http:v1', env: [{name: W, valueFrom: {secretKeyRef: {name: used, key: word}}}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: safe, namespace: shop}
spec: {nodeName: w2, containers: [{name: c, image: 'hello-http:v1'}]}
";

/// Somebody's role in the shop.
fn person(role: &str) -> String {
    format!(
        "---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {role}, namespace: shop}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {role}}}]
"
    )
}

/// What is sent with a request.
fn body(method: &str, path: &str) -> Value {
    let rbac = "rbac.authorization.k8s.io";
    let binding = |kind: &str, role: &str| {
        json!({"apiVersion": format!("{rbac}/v1"), "kind": kind, "metadata": {"name": "new"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": "joe"}]})
    };
    let plain = path.split('?').next().unwrap().trim_end_matches('/');
    match (method, plain.rsplit('/').next().unwrap()) {
        ("POST", "configmaps") => json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}}),
        ("POST", "rolebindings") => binding("RoleBinding", "view"),
        ("POST", "clusterrolebindings") => binding("ClusterRoleBinding", "cluster-admin"),
        ("POST", "token") => json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}),
        ("POST", "users") => {
            json!({"apiVersion": "kapelle.dev/v1", "kind": "User", "metadata": {"name": "joe"}, "spec": {}})
        }
        ("POST", "selfsubjectreviews") => {
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
        }
        ("POST", "subjectaccessreviews") => {
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": "joe", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "shop"}}})
        }
        ("POST", "uploads") => Value::Null,
        ("PATCH", "status") => json!({"metadata": {"annotations": {}}}),
        ("PATCH", _) => json!({"metadata": {"labels": {"mine": "yes"}}}),
        ("GET" | "DELETE", _) => Value::Null,
        other => panic!("what is the body of {other:?}?"),
    }
}

struct Story {
    lab: Lab,
    /// What `curl` is told of who asks, in the order of the table's columns.
    shows: Vec<Vec<String>>,
}

impl Story {
    fn begin() -> Option<Self> {
        let lab = Lab::of_one(&["w1", "w2"])?;
        for image in ["hello-http:v1", "shop/hello:v1"] {
            lab.kapelle("m1", &format!("push {} {image}", sample("hello-http").display())).ok();
        }
        let people: String = ["admin", "edit", "view"].map(person).concat();
        lab.apply("m1", "objects.yaml", &[OBJECTS, &people].concat()).ok();
        let mut shows = vec![admin(&lab)];
        let person = |name| bearer(&lab.kapelle("m1", &format!("user create {name} --for 1h")).ok());
        shows.extend(["admin", "edit", "view"].map(person));
        let account = lab.client("m1", &["m1"], |client| async move {
            let key = api::Key::namespaced(api::Kind::ServiceAccount, "shop", "default");
            client.request_token(&key, api::authentication_v1::TokenRequestSpec::default()).await.unwrap().token
        });
        shows.push(bearer(&account.join().unwrap()));
        shows.push(certificate(&lab.dir("w1").join("identity")));
        shows.push(Vec::new());
        wait_until("two Pods that run", || match lab.kapelle("m1", "get pods -n shop").printed()? {
            pods if pods.matches("Running").count() == 2 => Ok(()),
            pods => Err(pods),
        });
        Some(Self { lab, shows })
    }

    /// What is answered: `yes`, or the status that refuses it.
    fn ask(&self, shows: &[String], request: &str) -> String {
        let (request, acts_as) = request.split_once(" as ").map_or((request, None), |(line, user)| (line, Some(user)));
        let (method, path) = request.split_once(' ').unwrap();
        let authority = self.lab.dir("w1").join("identity/ca.crt");
        let url = format!("https://{}{path}", self.lab.contact("m1"));
        let mut command = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "15", "-X", method];
        command.extend(["--cacert", path_text(&authority)]);
        command.extend(shows.iter().map(String::as_str));
        let acts_as = acts_as.map(|user| format!("Impersonate-User: {user}"));
        command.extend(acts_as.iter().flat_map(|header| ["-H", header]));
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let (kind, body) = (format!("Content-Type: {kind}"), body(method, path).to_string());
        if body != "null" {
            command.extend(["-H", &kind, "-d", &body]);
        }
        command.push(&url);
        match self.lab.on("w1", "curl", &command).stdout {
            status if status.starts_with('2') => "yes".to_owned(),
            status => status,
        }
    }
}

fn bearer(token: &str) -> Vec<String> {
    vec!["-H".to_owned(), format!("Authorization: Bearer {}", token.trim())]
}

fn certificate(dir: &Path) -> Vec<String> {
    let file = |name: &str| path_text(&dir.join(name)).to_owned();
    vec!["--cert".to_owned(), file("tls.crt"), "--key".to_owned(), file("tls.key")]
}

fn admin(lab: &Lab) -> Vec<String> {
    let file = lab.pem("m1");
    vec!["--cert".to_owned(), path_text(&file).to_owned()]
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The rows of the table: a request, and what each is answered.
fn table() -> Vec<(String, Vec<String>)> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../SPECIFICATION.md");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().skip_while(|line| *line != HEAD).skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
            (cells.next().unwrap(), cells.collect())
        })
        .collect()
}

#[test]
fn each_identity_may_do_what_the_specification_says() {
    let rows = table();
    assert!(rows.len() > 20, "SPECIFICATION has the table that begins {HEAD}");
    let Some(story) = Story::begin() else { return };
    let mut wrong = Vec::new();
    for (request, said) in rows {
        let seen: Vec<String> = story.shows.iter().map(|shows| story.ask(shows, &request)).collect();
        if seen != said {
            wrong.push(format!("| `{request}` | {} |", seen.join(" | ")));
        }
    }
    assert!(wrong.is_empty(), "the cluster answers otherwise:\n{}", wrong.join("\n"));
}
