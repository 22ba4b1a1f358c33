//! Webhooks, policies and their bindings.

use expect_test::expect;

use super::{check, valid};

#[test]
fn a_webhook_says_what_it_is_asked_about_and_where_it_is() {
    check(
        "{kind: ValidatingWebhookConfiguration, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: a}, webhooks: [
          {},
          {name: short.name, clientConfig: {url: 'http://u@h?q#f', service: {}}, timeoutSeconds: 31, sideEffects: Some,
            failurePolicy: Maybe, matchPolicy: Most, admissionReviewVersions: [v2, v2], rules: [{}]},
          {name: a.b.c, clientConfig: {url: 'http://u@h?q#f', caBundle: bm9uZQ==}, sideEffects: None, admissionReviewVersions: [v1],
            rules: [{operations: ['*', CREATE, X], apiGroups: ['*', a], apiVersions: [''], resources: ['*', pods, pods/*, pods/x],
              scope: All}]},
          {name: a.b.c, clientConfig: {service: {namespace: n, name: s, path: /a//B, port: 0}}, sideEffects: None,
            admissionReviewVersions: [v1], matchConditions: [{name: '', expression: ''}, {name: c, expression: 'object.a'},
              {name: c, expression: 'authorizer.x'}]}]}",
        &expect![[r#"
            webhooks[0].name: Required value
            webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun
            webhooks[0].clientConfig: Required value: exactly one of url or service is required
            webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1
            webhooks[1].name: Invalid value: "short.name": should be a domain with at least three segments separated by dots
            webhooks[1].rules[0].operations: Required value
            webhooks[1].rules[0].apiGroups: Required value
            webhooks[1].rules[0].apiVersions: Required value
            webhooks[1].rules[0].resources: Required value
            webhooks[1].failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"
            webhooks[1].matchPolicy: Unsupported value: "Most": supported values: "Equivalent", "Exact"
            webhooks[1].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"
            webhooks[1].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds
            webhooks[1].clientConfig: Required value: exactly one of url or service is required
            webhooks[1].admissionReviewVersions[1]: Invalid value: "v2": duplicate version
            webhooks[1].admissionReviewVersions: Invalid value: ["v2", "v2"]: must include at least one of v1, v1beta1
            webhooks[2].rules[0].operations: Invalid value: ["*", "CREATE", "X"]: if '*' is present, must not specify other operations
            webhooks[2].rules[0].operations[2]: Unsupported value: "X": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"
            webhooks[2].rules[0].apiGroups: Invalid value: ["*", "a"]: if '*' is present, must not specify other API groups
            webhooks[2].rules[0].apiVersions[0]: Required value
            webhooks[2].rules[0].resources[3]: Invalid value: "pods/x": if 'pods/*' is present, must not specify pods/x
            webhooks[2].rules[0].resources: Invalid value: ["*", "pods", "pods/*", "pods/x"]: if '*' is present, must not specify other resources without subresources
            webhooks[2].rules[0].scope: Unsupported value: "All": supported values: "*", "Cluster", "Namespaced"
            webhooks[2].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]
            webhooks[2].clientConfig.url: Invalid value: "": user information is not permitted in the URL
            webhooks[2].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL
            webhooks[2].clientConfig.url: Invalid value: "q": query parameters are not permitted in the URL
            webhooks[2].clientConfig.caBundle: Invalid value: unable to load root certificates: unable to parse bytes as PEM block
            webhooks[3].clientConfig.service.port: Invalid value: 0: must be between 1 and 65535, inclusive
            webhooks[3].clientConfig.service.path: Invalid value: "/a//B": segment[1] may not be empty
            webhooks[3].clientConfig.service.path: Invalid value: "/a//B": segment[2]: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')
            webhooks[3].matchConditions[0].expression: Required value: expression is not specified
            webhooks[3].matchConditions[0].name: Required value
            webhooks[3].matchConditions[1].expression: Invalid value: "object.a": must evaluate to bool
            webhooks[3].matchConditions[2].expression: Invalid value: "authorizer.x": compilation failed: ERROR: <input>:1:1: undeclared reference to 'authorizer' (in container '')
             | authorizer.x
             | ^
            rights cannot be asked of here; look at request.userInfo
            webhooks[3].matchConditions[2].name: Duplicate value: "c"
            webhooks[3].name: Duplicate value: "a.b.c"
        "#]],
    );
    valid(
        "{kind: MutatingWebhookConfiguration, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: a}, webhooks: [
          {name: a.b.c, clientConfig: {url: 'https://[::1]:8443/a'}, sideEffects: NoneOnDryRun, admissionReviewVersions: [v2, v1beta1],
            reinvocationPolicy: IfNeeded, rules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*']}],
            matchConditions: [{name: a/b, expression: \"request.userInfo.username != 'x' && object.metadata.name == 'y'\"}]}]}",
    );
}

#[test]
fn a_policy_says_what_it_is_about_in_expressions_that_can_be_compiled() {
    check(
        "{kind: ValidatingAdmissionPolicy, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: a}}",
        &expect![[r#"
            spec.failurePolicy: Required value: one of Fail, Ignore
            spec.matchConstraints: Required value
            spec.validations: Required value: validations or auditAnnotations must contain at least one item
            spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item
        "#]],
    );
    check(
        "{kind: ValidatingAdmissionPolicy, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: a}, spec: {
          failurePolicy: Maybe, paramKind: {apiVersion: a/b/c, kind: 'A B'}, matchConstraints: {resourceRules: [
            {resourceNames: [x, x], operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]},
          variables: [{name: 'a-b', expression: '1'}, {name: one, expression: 'variables.two'}, {name: one, expression: ''}],
          validations: [{expression: '1 +'}, {expression: '1'}, {expression: 'params.a == variables.one', message: \"a\\nb\", reason: No,
            messageExpression: '1'}],
          auditAnnotations: [{key: 'a b', valueExpression: '1'}]}}",
        &expect![[r#"
            spec.failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"
            spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c
            spec.paramKind.kind: Invalid value: "A B": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')
            spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "x"
            spec.variables[0].name: Invalid value: "a-b": must be a valid CEL identifier
            spec.variables[1].expression: Invalid value: "variables.two": compilation failed: ERROR: <input>:1:10: undefined field 'two'
             | variables.two
             | .........^
            spec.variables[2].name: Duplicate value: "one"
            spec.variables[2].expression: Required value: expression is not specified
            spec.validations[0].expression: Invalid value: "1 +": compilation failed: ERROR: <input>:1:4: Syntax error: unexpected '<EOF>'
             | 1 +
             | ...^
            spec.validations[1].expression: Invalid value: "1": must evaluate to bool
            spec.validations[2].messageExpression: Invalid value: "1": must evaluate to string
            spec.validations[2].message: Invalid value: "a\nb": must not contain line breaks
            spec.validations[2].reason: Unsupported value: "No": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"
            spec.auditAnnotations[0].key: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName' or 'my.name' or '123-abc')
            spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type]
        "#]],
    );
    check(
        "{kind: ValidatingAdmissionPolicyBinding, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: a}, spec: {
          policyName: A, paramRef: {name: a, selector: {}}, validationActions: [Deny, Warn, Warn, Shout]}}",
        &expect![[r#"
            spec.policyName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')
            spec.paramRef.name: Forbidden: name and selector are mutually exclusive
            spec.paramRef.selector: Forbidden: name and selector are mutually exclusive
            spec.paramRef.parameterNotFoundAction: Required value: one of Deny, Allow
            spec.validationActions[2]: Duplicate value: "Warn"
            spec.validationActions[3]: Unsupported value: "Shout": supported values: "Audit", "Deny", "Warn"
            spec.validationActions: Invalid value: ["Deny", "Warn", "Warn", "Shout"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)
        "#]],
    );
}

#[test]
fn a_policy_that_changes_objects_makes_objects_or_patches() {
    check(
        "{kind: MutatingAdmissionPolicy, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: a}, spec: {
          matchConstraints: {resourceRules: [{operations: [DELETE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]},
          reinvocationPolicy: Always, mutations: [{}, {patchType: JSONPatch, applyConfiguration: {expression: '1'}},
            {patchType: ApplyConfiguration, applyConfiguration: {expression: 'object'}},
            {patchType: JSONPatch, jsonPatch: {expression: \"[JSONPatch{op: 1}]\"}},
            {patchType: ApplyConfiguration, applyConfiguration: {expression: 'Other{}'}}]}}",
        &expect![[r#"
            spec.matchConstraints.resourceRules[0].operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"
            spec.mutations[0].patchType: Required value
            spec.mutations[1].jsonPatch: Required value: must be specified when patchType is JSONPatch
            spec.mutations[1].applyConfiguration: Invalid value: must not be specified when patchType is JSONPatch
            spec.mutations[2].applyConfiguration.expression: Invalid value: "object": must evaluate to Object
            spec.mutations[3].jsonPatch.expression: Invalid value: "[JSONPatch{op: 1}]": compilation failed: ERROR: <input>:1:16: expected type of field 'op' is 'string' but provided type is 'int'
             | [JSONPatch{op: 1}]
             | ...............^
            spec.mutations[4].applyConfiguration.expression: Invalid value: "Other{}": compilation failed: ERROR: <input>:1:6: undeclared reference to 'Other' (in container '')
             | Other{}
             | .....^
            spec.reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"
        "#]],
    );
    check(
        "{kind: MutatingAdmissionPolicyBinding, apiVersion: admissionregistration.k8s.io/v1, metadata: {name: a}, spec: {
          paramRef: {}}}",
        &expect![[r#"
            spec.policyName: Required value
            spec.paramRef: Required value: one of name or selector must be specified
            spec.paramRef.parameterNotFoundAction: Required value: one of Deny, Allow
        "#]],
    );
}
