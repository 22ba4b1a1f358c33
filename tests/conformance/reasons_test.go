package main

import "testing"

func TestAReasonIsTheFirstThingSaid(t *testing.T) {
	for message, want := range map[string]string{
		"Unexpected error:\n    <*errors.StatusError | 0xc0001>: \n    the server could not find the requested resource\n    {\n":    "the server could not find the requested resource",
		"creating it: Unexpected error:\n    <*errors.errorString | 0xc0>: {\n        s: \"x\"":                                      "creating it: s: \"x\"",
		"Told nothing of crd-publish-openapi-5437 at 127.0.0.1:6443 after 60.5s\nmore":                                               "Told nothing of crd-publish-openapi-N at IP after TIME",
		"creating CRD: the server could not find it: crds.apiextensions.k8s.io is not served; `kubectl api-resources` lists what is": "crds.apiextensions.k8s.io is not served",
		"creating deployment d in namespace webhook-3440: Deployment.apps \"d\" is invalid: spec.x: Forbidden: no":                   "Deployment.apps is invalid: spec.x: Forbidden: no",
		"expected a group/version, got []v1.APIGroup{v1.APIGroup{TypeMeta:":                                                          "expected a group/version",
		"namespace sysctl-abc12 is gone": "namespace sysctl-X is gone",
		"":                               "it does not say why",
	} {
		if got := shorten(message); got != want {
			t.Errorf("%q is shortened to %q, not %q", message, got, want)
		}
	}
}
