//! What others make of what is asked of an object and not stored: tokens, bindings, evictions and connections.

use super::*;

#[tokio::test]
async fn what_others_make_of_a_request_for_a_token_is_what_is_given() {
    let court = Court::new(|url, asked| match url {
        "https://hook/less" => patch(&json!([
            {"op": "replace", "path": "/spec/expirationSeconds", "value": 700},
            {"op": "add", "path": "/spec/audiences", "value": ["vault"]},
        ])),
        "https://hook/short" => patch(&add("/spec/expirationSeconds", 9.into())),
        "https://hook/bind" => {
            patch(&add("/spec/boundObjectRef", json!({"apiVersion": "v1", "kind": "Pod", "name": "nobody"})))
        }
        "https://hook/odd" => patch(&add("/spec/audiences", "text".into())),
        "https://hook/other" => patch(&add("/metadata/name", "root".into())),
        "https://hook/judge" if asked["object"]["spec"]["audiences"] == json!(["vault"]) => allow(),
        "https://hook/judge" => Ok(json!({"allowed": false, "status": {"message": "not for the vault"}})),
        _ => allow(),
    })
    .await;
    let key = till(&court).await;
    let token = |hooks: &[&str]| {
        let hooks = hooks.iter().map(|name| hook(name, "", "serviceaccounts/token", json!({}))).collect::<Vec<_>>();
        json!(hooks)
    };
    court.apply(mutating(token(&["less"]))).await;
    court.apply(validating(token(&["judge"]))).await;
    let (made, _) = court.registry.create_token(&key, TokenRequest::default()).await.unwrap();
    let spec = made.spec.unwrap();
    assert_eq!((spec.expiration_seconds, &spec.audiences[..]), (Some(700), &["vault".to_owned()][..]));
    let asked = court.asked();
    assert_eq!(asked[0].1["object"]["spec"]["expirationSeconds"], 3600, "with defaults, before anybody");
    let claims = made.status.unwrap().token;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], json!(["vault"]));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 700);
    for (hooks, why) in [
        (&["short"][..], "may not specify a duration less than 10 minutes"),
        (&["less", "bind"], "pods \"nobody\" not found"),
        (&["odd"], "audiences"),
        (&["other"], "must be those of the request"),
        (&[], "not for the vault"),
    ] {
        court.apply(mutating(token(hooks))).await;
        let error = court.registry.create_token(&key, TokenRequest::default()).await.unwrap_err();
        assert!(error.message.contains(why), "{hooks:?}: {error}");
    }
}

#[tokio::test]
async fn a_policy_changes_requests_for_tokens() {
    let court = Court::new(|_, _| allow()).await;
    let key = till(&court).await;
    court
        .apply(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": "short"},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["serviceaccounts/token"],
                }]},
                "reinvocationPolicy": "Never", "failurePolicy": "Fail",
                "mutations": [{
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": "Object{spec: Object.spec{expirationSeconds: 700}}"},
                }],
            },
        }))
        .await;
    court
        .apply(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": "short"}, "spec": {"policyName": "short"},
        }))
        .await;
    let (made, _) = court.registry.create_token(&key, TokenRequest::default()).await.unwrap();
    assert_eq!(made.spec.unwrap().expiration_seconds, Some(700));
}

#[tokio::test]
async fn what_others_make_of_bindings_evictions_and_connections_is_done_or_refused() {
    let court = Court::new(|url, asked| match url {
        "https://hook/label" => patch(&json!([
            {"op": "add", "path": "/metadata/labels", "value": {"zone": "a"}},
            {"op": "add", "path": "/metadata/annotations/rack", "value": "7"},
        ])),
        "https://hook/seen" => match &asked["object"]["metadata"]["labels"]["zone"] {
            zone if zone == "a" => allow(),
            _ => Ok(json!({"allowed": false, "status": {"message": "no zone"}})),
        },
        "https://hook/gently" => patch(&add("/deleteOptions/gracePeriodSeconds", 77.into())),
        "https://hook/never" => patch(&add("/deleteOptions/preconditions", json!({"uid": "another"}))),
        "https://hook/other" => patch(&add("/metadata/name", "q".into())),
        "https://hook/shell" => patch(&add("/command", json!(["sh"]))),
        _ => allow(),
    })
    .await;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "x"}]},
    });
    court.apply(pod).await;
    let key = Key::namespaced(Kind::Pod, "default", "p");
    let error = {
        court.apply(mutating(json!([hook("other", "", "pods/binding", json!({}))]))).await;
        let mut binding = core_v1::Pod::default();
        (binding.metadata_mut().name, binding.metadata_mut().namespace) = ("p".to_owned(), "default".to_owned());
        binding.spec.get_or_insert_default().node_name = "w1".to_owned();
        let write = Write::Update(binding.into(), Subresource::Binding);
        court.registry.submit(write, WriteOptions::default()).await.unwrap_err()
    };
    assert!(error.message.contains("must be those of the request"), "{error}");
    court.asked();
    court.apply(mutating(json!([hook("label", "", "pods/binding", json!({}))]))).await;
    court.apply(validating(json!([hook("seen", "", "pods/binding", json!({}))]))).await;
    let mut binding = core_v1::Pod::default();
    (binding.metadata_mut().name, binding.metadata_mut().namespace) = ("p".to_owned(), "default".to_owned());
    binding.metadata_mut().annotations.insert("told".to_owned(), "by-binder".to_owned());
    binding.spec.get_or_insert_default().node_name = "w1".to_owned();
    let write = Write::Update(binding.into(), Subresource::Binding);
    let bound = court.registry.submit(write, WriteOptions::default()).await.unwrap().object.object();
    let asked = court.asked();
    assert_eq!(asked[0].1["object"]["metadata"]["annotations"], json!({"told": "by-binder"}));
    let meta = bound.metadata().unwrap();
    assert_eq!(json!(meta.labels), json!({"app": "web", "zone": "a"}));
    assert_eq!((&meta.annotations["told"][..], &meta.annotations["rack"][..]), ("by-binder", "7"));

    let evict = || WriteOptions { through: Subresource::Eviction, ..WriteOptions::default() };
    let delete = || Write::Delete(key.clone(), DeleteOptions { grace_period_s: Some(5), ..DeleteOptions::default() });
    court.apply(mutating(json!([hook("never", "", "pods/eviction", json!({}))]))).await;
    let error = court.registry.submit(delete(), evict()).await.unwrap_err();
    assert_eq!(error.reason, Reason::Conflict, "{error}");
    let asked = court.asked();
    assert_eq!(asked[0].1["object"]["deleteOptions"], json!({"gracePeriodSeconds": 5}), "{asked:?}");
    court.apply(mutating(json!([hook("gently", "", "pods/eviction", json!({}))]))).await;
    let going = court.registry.submit(delete(), evict()).await.unwrap().object.object();
    assert_eq!(going.metadata().unwrap().deletion_grace_period_seconds, Some(77));

    court.create(deployment("web")).await.unwrap();
    court.apply(mutating(json!([hook("shell", "apps", "*/*", json!({}))]))).await;
    let how = || json!({"apiVersion": "v1", "kind": "PodExecOptions", "command": ["true"]});
    let web = Key::namespaced(Kind::Deployment, "default", "web");
    let error = court.registry.admit_question(&web, Subresource::Log, how).await.unwrap_err();
    assert!(error.message.contains("how somebody is to be connected cannot be changed"), "{error}");
}
