//! Who does not have the kubeconfig of `kapelle dev` gets nothing: other users of the machine, guests, and web pages in the
//! browser of somebody who has it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use crate::{
    cluster::{Answer, Cluster, KAPELLE},
    kubectl::Kubectl,
};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

const MAP: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"made"}}"#;

/// `curl` at the API: the status and the body. `000` if nothing was answered.
fn curl(cluster: &Cluster, scheme: &str, path: &str, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "-w", "\n%{http_code}"]).args(arguments);
    let Answer { stdout, .. } = Answer::of(command.arg(format!("{scheme}://{}{path}", cluster.contact())), "");
    let (body, code) = stdout.rsplit_once('\n').unwrap();
    (code.to_owned(), body.to_owned())
}

/// The same as the administrator of the kubeconfig, whose authority must have signed what the server shows.
fn admin(cluster: &Cluster, path: &str, arguments: &[&str]) -> (String, String) {
    let config = kapelle_client::Config::from_kubeconfig(&cluster.kubeconfig(), None).unwrap();
    let rpc::Security::Tls(identity) = config.security().unwrap() else { panic!("no TLS") };
    let pem = identity.with(|it| [it.chain_pem(), it.key_pem(), it.authority_pem()].join("\n"));
    let file = cluster.dir().join("admin.pem");
    fs::write(&file, pem).unwrap();
    let file = file.to_str().unwrap();
    curl(cluster, "https", path, &[&["--cacert", file, "--cert", file], arguments].concat())
}

/// What those use who cannot show a certificate: the kubeconfig without its lines, and the header for `curl`.
struct ByToken {
    kubeconfig: PathBuf,
    header: String,
}

impl ByToken {
    fn of(cluster: &Cluster) -> Self {
        let text = fs::read_to_string(cluster.kubeconfig()).unwrap();
        let bare = text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("client-"));
        let kubeconfig = cluster.dir().join("by-token");
        fs::write(&kubeconfig, bare.collect::<String>()).unwrap();
        let token = text.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
        Self { kubeconfig, header: format!("Authorization: Bearer {token}") }
    }

    /// `curl` with the authority to verify the server by, and what is shown.
    fn curl(cluster: &Cluster, path: &str, arguments: &[&str]) -> (String, String) {
        let authority = cluster.dir().join("pki/ca.crt");
        curl(cluster, "https", path, &[&["--cacert", authority.to_str().unwrap()], arguments].concat())
    }

    fn kapelle(&self, arguments: &str) -> Answer {
        let mut command = Command::new(KAPELLE);
        command.args(arguments.split_whitespace()).arg("--kubeconfig").arg(&self.kubeconfig);
        Answer::of(&mut command, "")
    }
}

#[test]
fn without_the_kubeconfig_nothing_is_answered() {
    let cluster = Cluster::start();
    // The old server answered both with 200, whoever asked.
    assert_eq!(curl(&cluster, "http", CONFIG_MAPS, &[]).0, "000");
    for arguments in [&["-k"][..], &["-k", "-H", "Content-Type: application/json", "-d", MAP]] {
        let (code, body) = curl(&cluster, "https", CONFIG_MAPS, arguments);
        assert_eq!(code, "401", "{body}");
    }
    for path in ["/v2/", "/v2/_catalog"] {
        assert_eq!(curl(&cluster, "https", path, &["-k"]).0, "401", "{path}");
    }
    assert_eq!(admin(&cluster, "/v2/_catalog", &[]).0, "200");
    assert_eq!(admin(&cluster, CONFIG_MAPS, &["-H", "Content-Type: application/json", "-d", MAP]).0, "201");
}

#[test]
fn a_web_page_cannot_use_the_administrators_certificate() {
    let cluster = Cluster::start();
    let origin = format!("Origin: https://{}", cluster.contact());
    // What a page may send without asking first: a body without a type, or as text.
    let untyped = "Content-Type:";
    for (code, headers) in [
        ("403", [untyped, "Origin: https://evil.example"]),
        ("403", [untyped, "Origin: null"]),
        ("403", [untyped, "Host: evil.example:6443"]),
        ("415", ["Content-Type: text/plain", origin.as_str()]),
    ] {
        let answer = admin(&cluster, CONFIG_MAPS, &["-H", headers[0], "-H", headers[1], "-d", MAP]);
        assert_eq!(answer.0, code, "{headers:?}: {}", answer.1);
    }
    assert_eq!(admin(&cluster, &format!("{CONFIG_MAPS}/made"), &["-H", "Host: localhost:6443"]).0, "404");
    assert_eq!(admin(&cluster, CONFIG_MAPS, &["-H", "Content-Type:", "-H", &origin, "-d", MAP]).0, "201");
}

#[test]
fn the_token_of_the_kubeconfig_is_enough() {
    let cluster = Cluster::start();
    let by_token = ByToken::of(&cluster);
    let header = by_token.header.as_str();
    let (wrong, bare) = (header.replace("kapelle_admin_", "kapelle_admin_0"), header.replace("Bearer ", ""));
    let (typed, origin) = ("Content-Type: application/json", format!("Origin: https://{}", cluster.contact()));
    let cases: [(&str, &[&str]); 7] = [
        ("200", &["-H", header]),
        ("401", &[]),
        ("401", &["-H", &wrong]),
        ("401", &["-H", &bare]),
        // A token is no leave for web pages.
        ("403", &["-H", header, "-H", "Origin: https://evil.example"]),
        ("403", &["-H", header, "-H", "Host: evil.example:6443"]),
        ("201", &["-H", header, "-H", typed, "-H", &origin, "-d", MAP]),
    ];
    for (code, arguments) in cases {
        let answer = ByToken::curl(&cluster, CONFIG_MAPS, arguments);
        assert_eq!(answer.0, code, "{arguments:?}: {}", answer.1);
    }
    assert_eq!(ByToken::curl(&cluster, "/v2/_catalog", &["-H", header]).0, "200");
    // A certificate does not make a wrong token right.
    assert_eq!(admin(&cluster, CONFIG_MAPS, &["-H", header]).0, "200");
    assert_eq!(admin(&cluster, CONFIG_MAPS, &["-H", &wrong]).0, "401");

    by_token.kapelle("get configmap made").ok();
    by_token.kapelle(&format!("push {} hello:v1", crate::cluster::prebuilt("hello-http"))).ok();
    let whoami = "auth whoami -o jsonpath={.status.userInfo.username}";
    if let Some(kubectl) = Kubectl::find(&cluster) {
        let kubectl = |line: &str| {
            let mut command = kubectl.command();
            Answer::of(command.arg("--kubeconfig").arg(&by_token.kubeconfig).args(line.split(' ')), "").ok()
        };
        assert_eq!(kubectl(whoami), "kapelle-admin");
        assert!(kubectl("create configmap more --from-literal=a=b").contains("configmap/more created"));
        assert!(kubectl("get configmap -o name").contains("configmap/more"));
    }
    let secret = header.rsplit('_').next().unwrap();
    assert!(!cluster.stderr().contains(secret), "no log shows it");
}

#[test]
fn an_account_is_known_by_its_token_until_it_is_gone() {
    let cluster = Cluster::start();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    kubectl.ok("create serviceaccount till");
    let token = kubectl.ok("create token till --audience=vault --duration=10m");
    let header = |token: &str| format!("Authorization: Bearer {}", token.trim());
    assert_eq!(ByToken::curl(&cluster, "/api", &["-H", &header(&token)]).0, "401", "it is for others");
    let token = kubectl.ok("create token till");
    let by_token = ByToken::of(&cluster);
    let whoami = || {
        let mut command = kubectl.command();
        command.arg("--kubeconfig").arg(&by_token.kubeconfig).args(["--token", token.trim()]);
        Answer::of(command.args(["auth", "whoami", "-o", "yaml"]), "")
    };
    let told = whoami().ok();
    assert!(told.contains("username: system:serviceaccount:default:till"), "{told}");
    assert!(told.contains("- system:serviceaccounts:default") && told.contains("JTI="), "{told}");
    let (code, body) = ByToken::curl(&cluster, CONFIG_MAPS, &["-H", &header(&token)]);
    assert_eq!(code, "403", "it has no rights: {body}");
    assert!(body.contains("system:serviceaccount:default:till"), "{body}");
    let keys = ByToken::curl(&cluster, "/openid/v1/jwks", &[]);
    assert!(keys.0 == "200" && keys.1.contains("ES256"), "{keys:?}");
    kubectl.ok("delete serviceaccount till");
    kubectl.ok("create serviceaccount till");
    assert_eq!(ByToken::curl(&cluster, "/api", &["-H", &header(&token)]).0, "401", "that was another account");
    assert!(!cluster.stderr().contains(token.trim().rsplit('.').next().unwrap()), "no log shows it");
}

#[test]
fn a_kubeconfig_is_for_its_owner_and_outlives_a_restart() {
    let mut cluster = Cluster::start();
    for file in ["kubeconfig", "pki/ca.key", "pki/admin.token"] {
        let mode = fs::metadata(cluster.dir().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let kept = cluster.dir().join("kept");
    fs::copy(cluster.kubeconfig(), &kept).unwrap();
    let by_token = ByToken::of(&cluster);
    cluster.kill();
    cluster.start_again(&[]);
    let kept = kept.to_str().unwrap();
    Answer::of(Command::new(KAPELLE).args(["get", "nodes", "--kubeconfig", kept]), "").ok();
    by_token.kapelle("get nodes").ok();
    assert_eq!(ByToken::of(&cluster).header, by_token.header, "it is the same token");
}
