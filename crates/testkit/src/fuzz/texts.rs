//! Texts that clients and operators hand in: tokens of pages and for joining, URLs, selectors, manifests.

use std::sync::LazyLock;

use api::{Kind, Revision, cbor, cel, custom, fieldset::Set, json, json::Strictness, selector};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use consensus::Machine as _;
use rpc::identity::Token;
use store::View;

use super::{Scale, Verdict, state};
use crate::Prng;

/// The most that an expression of the fuzzer makes, in bytes.
const MADE_BYTES_MAX: usize = 64 << 10;

/// A state with some objects, for pages.
static VIEW: LazyLock<View> = LazyLock::new(|| {
    let (mut machine, store) = store::new();
    for (index, command) in (1..).zip(state::commands(&mut Prng::new(1))) {
        _ = machine.apply(index, command.into());
    }
    machine.show();
    store.view()
});

fn owned(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(super) fn verdict(is_accepted: bool) -> Verdict {
    if is_accepted { Verdict::Accepted } else { Verdict::Refused }
}

/// What is no UTF-8 never gets to a decoder of texts; the rest of it does.
fn text(input: &Bytes) -> String {
    String::from_utf8_lossy(input).into_owned()
}

/// What a backend of the API says that it offers.
pub(super) fn offered(_: &mut Prng) -> Vec<Vec<u8>> {
    [0, 1, 7, 60].map(apiserver::decoders::offered_sample).to_vec()
}

pub(super) fn read_offered(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    Ok(verdict(scale.weigh(|| apiserver::decoders::offered(input))))
}

/// The JSON within tokens of pages; [`wrap`] makes tokens of them.
pub(super) fn pages(chance: &mut Prng) -> Vec<Vec<u8>> {
    let kinds = [Kind::ConfigMap, Kind::Pod, Kind::Node];
    let places = ["null", "\"default\"", "\"kube-system\""];
    let one = |(kind, place): (Kind, &str)| {
        let (revision, name, left) = (chance.between(0, 50), chance.between(0, 9), chance.between(0, 20));
        let code = kind.info().code;
        format!(r#"{{"rev":{revision},"kind":{code},"in":{place},"last":["default","object-{name}"],"left":{left}}}"#)
            .into_bytes()
    };
    kinds.into_iter().flat_map(|kind| places.map(|place| (kind, place))).map(one).collect()
}

pub(super) fn wrap(bytes: &mut Vec<u8>) {
    *bytes = BASE64_URL_SAFE_NO_PAD.encode(&bytes).into_bytes();
}

/// A token that is understood is written again as one that asks for the same page.
pub(super) fn read_page(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let (text, view) = (text(input), &*VIEW);
    let Some((again, next)) = scale.weigh(|| registry::decoders::page(view, &text)) else {
        return Ok(Verdict::Refused);
    };
    match registry::decoders::page(view, &again) {
        Some(same) if same == (again, next) => Ok(Verdict::Accepted),
        other => Err(format!("{text}: written again it asks for {other:?}")),
    }
}

pub(super) fn tokens(chance: &mut Prng) -> Vec<Vec<u8>> {
    let mut letters = |count: u64| -> String {
        (0..count)
            .filter_map(|_| chance.pick(b"abcdefghjkmnpqrstuvwxyz23456789"))
            .map(|byte| char::from(*byte))
            .collect()
    };
    let pin = "0123456789abcdef".repeat(4);
    (0..6).map(|_| format!("kapelle1.{pin}.{}.{}", letters(6), letters(32)).into_bytes()).collect()
}

pub(super) fn read_token(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let text = text(input);
    let Ok(token) = scale.weigh(|| text.parse::<Token>()) else { return Ok(Verdict::Refused) };
    if token.to_string().parse() == Ok(token) { Ok(Verdict::Accepted) } else { Err(format!("{text} is read twice")) }
}

/// The claims within tokens of ServiceAccounts; [`sign`] makes tokens of them.
/// Of an account with all that its token can be bound to and with nothing, of a User, and of a Secret.
pub(super) fn claims(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        r#"{"aud":["a","b"],"exp":3600,"iat":0,"iss":"https://kubernetes.default.svc.cluster.local","jti":"j",
            "kubernetes.io":{"namespace":"n","node":{"name":"n1","uid":"1"},"pod":{"name":"p","uid":"2"},
            "secret":{"name":"s","uid":"3"},"serviceaccount":{"name":"a","uid":"4"},"warnafter":9},"nbf":0,
            "sub":"system:serviceaccount:n:a"}"#,
        r#"{"aud":[],"exp":-1,"iat":0,"iss":"https://kubernetes.default.svc.cluster.local","jti":"",
            "kubernetes.io":{"namespace":"n","serviceaccount":{"name":"a","uid":""}},"nbf":0,"sub":"system:serviceaccount:n:a"}"#,
        r#"{"aud":["a"],"exp":9,"iat":1,"iss":"https://kubernetes.default.svc.cluster.local/users","jti":"j",
            "kapelle.dev":{"user":{"name":"ann","uid":"1"}},"nbf":1,"sub":"ann"}"#,
        r#"{"iss":"kubernetes/serviceaccount","kubernetes.io/serviceaccount/namespace":"n",
            "kubernetes.io/serviceaccount/secret.name":"s","kubernetes.io/serviceaccount/service-account.name":"a",
            "kubernetes.io/serviceaccount/service-account.uid":"1","sub":"system:serviceaccount:n:a"}"#,
    ])
}

pub(super) fn sign(bytes: &mut Vec<u8>) {
    *bytes = registry::decoders::sign_account_token(bytes).unwrap_or_default().into_bytes();
}

/// A token is no longer understood when one letter of it is another one.
pub(super) fn read_account_token(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let text = text(input);
    let is_understood = scale.weigh(|| registry::decoders::account_token(&text));
    let mut forged = input.to_vec();
    let place = input.iter().map(|byte| usize::from(*byte)).sum::<usize>() % input.len().max(1);
    if let Some(letter) = forged.get_mut(place) {
        *letter = if *letter == b'x' { b'y' } else { b'x' };
    }
    let forged = String::from_utf8_lossy(&forged);
    if registry::decoders::account_token(&forged) {
        return Err(format!("{forged} was not signed"));
    }
    Ok(verdict(is_understood))
}

pub(super) fn roles(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        r#"{"kind":"ClusterRole","metadata":{"name":"sample"},"rules":[{"apiGroups":["","*"],"resources":["secrets/status","*/scale"],
            "verbs":["list","watch"],"resourceNames":["a"]},{"nonResourceURLs":["/metrics","/api/*"],"verbs":["get"]}]}"#,
        r#"{"kind":"ClusterRole","metadata":{"name":"sample","labels":{"a":"b"}},"aggregationRule":{"clusterRoleSelectors":[
            {"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"In","values":["v"]}]}]}}"#,
        r#"{"kind":"Role","metadata":{"name":"sample","namespace":"default"},"rules":[{"apiGroups":["apps"],"resources":["*"],"verbs":["*"]}]}"#,
        r#"{"kind":"RoleBinding","metadata":{"name":"b","namespace":"default"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io",
            "kind":"ClusterRole","name":"little"},"subjects":[{"kind":"ServiceAccount","name":"s","namespace":"n"},{"kind":"User","name":"ann"}]}"#,
        r#"{"kind":"ClusterRoleBinding","metadata":{"name":"b"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole",
            "name":"missing"},"subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"system:authenticated"}]}"#,
    ])
}

pub(super) fn read_role(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    Ok(verdict(scale.weigh(|| registry::decoders::role(input)).is_some()))
}

pub(super) fn urls(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        "/api/v1/namespaces/default/pods?limit=5&resourceVersion=17&resourceVersionMatch=Exact",
        "/api/v1/nodes?labelSelector=app+in+(web%2Cfoo)&watch&allowWatchBookmarks=true",
        "/apis/apps/v1/namespaces/a/deployments/b/scale?dryRun=All&fieldManager=%C3%A4",
        "/api/v1/pods?sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0&watch=1",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/openapi/v3/apis/apps/v1",
        "/version",
    ])
}

pub(super) fn read_url(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let text = text(input);
    _ = scale.weigh(|| text.parse::<Revision>());
    Ok(verdict(scale.weigh(|| apiserver::decoders::url(&text))))
}

pub(super) fn labels(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        "",
        "app=web",
        "app==web,tier!=back",
        "app in (a, b),!gone",
        "x notin (a,b)",
        "example.com/n>5,m<7",
        "a,b , c",
    ])
}

pub(super) fn read_labels(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let text = text(input);
    let Ok(read) = scale.weigh(|| selector::Labels::parse(&text)) else { return Ok(Verdict::Refused) };
    let written = read.to_string();
    match selector::Labels::parse(&written) {
        Ok(again) if again.to_string() == written => Ok(Verdict::Accepted),
        other => Err(format!("{text:?} means {written:?}, which is read as {other:?}")),
    }
}

pub(super) fn fields(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        "",
        "status.phase=Running,spec.nodeName!=n1",
        "metadata.name==a,metadata.namespace=b",
        r"metadata.name=a\,b",
    ])
}

pub(super) fn read_fields(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let text = text(input);
    Ok(verdict(scale.weigh(|| selector::Fields::parse(Kind::Pod, &text)).is_ok()))
}

/// What `metadata.managedFields` says that somebody owns.
pub(super) fn owned_fields(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        "{}",
        r#"{"f:metadata":{"f:labels":{".":{},"f:app":{},"f:a.b/c":{}}},"f:data":{}}"#,
        r#"{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:targetPort":{}}}}}"#,
        r#"{"f:spec":{"f:finalizers":{"v:\"a\"":{},"v:1":{},"v:2.5":{}},"f:list":{"i:0":{},"i:-3":{}}},"z:later":[1]}"#,
    ])
}

/// A set that was read is written and read again as the same, and sets are taken from and added to each other as sets are.
pub(super) fn read_owned_fields(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let Ok(read) = scale.weigh(|| Set::from_json(input)) else { return Ok(Verdict::Refused) };
    let written = read.to_json();
    match Set::from_json(&written) {
        Ok(again) if again == read => {}
        other => {
            return Err(format!("it is written as {}, which is read as {other:?}", String::from_utf8_lossy(&written)));
        }
    }
    let without = read.difference(&read.intersection(&read));
    let is_sound = without.is_empty() && read.union(&read) == read && read.paths().len() == read.len();
    if is_sound { Ok(Verdict::Accepted) } else { Err(format!("{read:?} is not equal to itself")) }
}

const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"app":"web"},"creationTimestamp":
"2026-01-02T03:04:05Z"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"500m","memory":"1Gi"}},
"ports":[{"containerPort":80}],"livenessProbe":{"httpGet":{"path":"/","port":"http"},"periodSeconds":5}}]}}"#;

pub(super) fn jsons(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[POD, r#"{"metadata":{"name":"n"},"spec":{"replicas":3}}"#, r#"{"a":[1,-2.5e3,true,null,"\u00e4"],"a":{}}"#])
}

/// An object that was read is written and read again as the same.
pub(super) fn read_json(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let decode = || json::decode(Kind::Pod, &json::parse(input, Strictness::Warn)?.value, Strictness::Ignore);
    if scale.weigh(|| json::parse(input, Strictness::Warn)).is_err() {
        return Ok(Verdict::Refused);
    }
    let Ok(decoded) = scale.weigh(decode) else { return Ok(Verdict::Accepted) };
    let written = json::encode(&decoded.object);
    match json::decode(Kind::Pod, &written, Strictness::Ignore) {
        Ok(again) if again.object == decoded.object => Ok(Verdict::Accepted),
        other => Err(format!("it is written as {written}, which is read as {other:?}")),
    }
}

pub(super) fn cbors(_: &mut Prng) -> Vec<Vec<u8>> {
    let written = |value: serde_json::Value| {
        let mut bytes = Vec::new();
        cbor::write(&value, &mut bytes);
        bytes
    };
    vec![
        written(serde_json::json!({"kind": "Pod", "metadata": {"labels": {"a": "b"}}, "n": [1, -1, 2.5, null, true]})),
        // Texts and arrays without lengths, bytes that are to be base64, a time.
        b"\xbf\x61a\x9f\x01\x7f\x62cd\x61e\xff\xff\x61b\xd6\x43abc\x61c\xc1\x1a\x51\x4b\x67\xb0\xff".to_vec(),
    ]
}

pub(super) fn read_cbor(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let Ok(value) = scale.weigh(|| cbor::parse(input)) else { return Ok(Verdict::Refused) };
    let mut written = Vec::new();
    cbor::write(&value, &mut written);
    match cbor::parse(&written) {
        Ok(again) if again == value => Ok(Verdict::Accepted),
        other => Err(format!("it is read as {value}, and written again as {other:?}")),
    }
}

pub(super) fn yamls(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: web}}\nspec:\n  containers:\n  - name: c\n    image: i\n",
        "a: &x [1, 0x1f, 0o17, 1e3, ~]\nb: *x\n---\nc: |\n  text\n  more\nd: >-\n  folded\n...\n",
        "- 'single'\n- \"double \\u00e4\"\n- !!str 5\n- {}\n",
    ])
}

pub(super) fn read_yaml(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let text = text(input);
    Ok(verdict(scale.weigh(|| api::yaml::documents(&text)).is_ok()))
}

const SCHEMA: &str = r#"{"type":"object","required":["spec"],"properties":{"spec":{"type":"object","properties":{
"size":{"type":"integer","format":"int32","minimum":1,"default":1},"port":{"x-kubernetes-int-or-string":true},
"name":{"type":"string","pattern":"^[a-z]{1,9}$","maxLength":9,"enum":["a","b"]},
"list":{"type":"array","maxItems":9,"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],
"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"}}}},
"map":{"type":"object","additionalProperties":{"type":"string","format":"date-time"}}},
"oneOf":[{"required":["size"]},{"required":["port"]}],
"x-kubernetes-validations":[{"rule":"self.size > 0 && self.list.all(x, x.name != '')","message":"m","fieldPath":".size"}]}}}"#;

pub(super) fn schemas(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        SCHEMA,
        r#"{"type":"object","x-kubernetes-preserve-unknown-fields":true}"#,
        r#"{"type":"object","properties":{"a":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"b":{"type":"string"}}}}}"#,
    ])
}

/// A schema that was let in judges any object, and what it let pass stays so when it is judged again.
pub(super) fn read_schema(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let Ok(schema) = serde_json::from_slice(input) else { return Ok(Verdict::Refused) };
    let Ok(validator) = scale.weigh(|| custom::check(&schema, "schema", false)) else { return Ok(Verdict::Refused) };
    for spec in [r#"{"size":1,"list":[{"name":"a"},{}],"map":{"k":"v"},"more":[null]}"#, "null", "[[1]]", "\"x\""] {
        let mut object = serde_json::from_str(&format!(r#"{{"apiVersion":"a/v1","kind":"A","spec":{spec}}}"#))
            .map_err(|error| error.to_string())?;
        custom::prune(&mut object, validator.schema());
        if custom::apply_defaults(&mut object, validator.schema()).is_ok()
            && validator.create(&object).is_empty()
            && !validator.update(&object, &object).is_empty()
        {
            return Err(format!("{object} is valid, but cannot stay as it is"));
        }
    }
    Ok(Verdict::Accepted)
}

pub(super) fn expressions(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        "1 + 2 * 3 == 7 && !(1 > 2) || 'a' in ['a', \"b\"]",
        "[1, 2].all(x, [3].exists(y, x < y)) ? {'a': 1}.a : -1",
        "'%s is %d'.format(['a', 1]).matches(r'^[a-z]+$') && duration('1h') > duration('1m')",
        "optional.of(1).optMap(x, x + 1).orValue(0) == 2 // done",
        "Object{spec: Object.spec{list: [Object.spec.list{a: 1, ?b: optional.none()}]}}",
        "[JSONPatch{op: 'add', path: '/' + jsonpatch.escapeKey('a/b'), value: {'a': [1.5, 2.0]}}]",
    ])
}

/// What is read also ends.
pub(super) fn read_expression(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    let text = text(input);
    let variables = cel::Variables::default().with_patches();
    let Ok((program, _)) = scale.weigh(|| cel::Program::compile(&text, &variables)) else {
        return Ok(Verdict::Refused);
    };
    _ = scale.weigh(|| {
        let (mut fuel, mut left) = (cel::Fuel::new(10_000), MADE_BYTES_MAX);
        program.run(Vec::new(), &mut fuel).is_ok_and(|value| value.json(&mut left).is_ok())
    });
    Ok(Verdict::Accepted)
}

pub(super) fn reviews(_: &mut Prng) -> Vec<Vec<u8>> {
    owned(&[
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":true,
            "patchType":"JSONPatch","patch":"W3sib3AiOiJhZGQiLCJwYXRoIjoiL2EiLCJ2YWx1ZSI6MX1d","warnings":["w"]}}"#,
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u","allowed":false,
            "status":{"code":403,"reason":"Forbidden","message":"no"},"auditAnnotations":{"a":"b"}}}"#,
        r#"{"response":{"allowed":true,"patch":"W10="}}"#,
    ])
}

pub(super) fn read_review(input: &Bytes, scale: &mut Scale) -> Result<Verdict, String> {
    Ok(verdict(scale.weigh(|| registry::decoders::review(input))))
}
