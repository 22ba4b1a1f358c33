package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/kubernetes/test/conformance/testdata"
	"sigs.k8s.io/yaml"
)

// A spec is one promise of Kubernetes, as upstream lists it.
type spec struct {
	// Name is the spec's whole text in Ginkgo, such as `[sig-apps] ReplicaSet should list … [Conformance]`.
	Name string `json:"codename"`
}

// All conformance specs of the release that this module requires, those of a sig together.
func conformanceSpecs() ([]spec, error) {
	text, err := testdata.GetConformanceTestdataFS().EmbeddedFS.ReadFile("conformance.yaml")
	if err != nil {
		return nil, err
	}
	var specs []spec
	if err := yaml.Unmarshal(text, &specs); err != nil {
		return nil, fmt.Errorf("upstream's list of specs: %w", err)
	}
	slices.SortFunc(specs, bySig)
	return specs, nil
}

// Those whose names contain one of the words; all, if there are none.
func matching(specs []spec, words []string) []spec {
	if len(words) == 0 {
		return specs
	}
	contains := func(spec spec) func(string) bool {
		return func(word string) bool { return strings.Contains(spec.Name, word) }
	}
	return slices.DeleteFunc(slices.Clone(specs), func(spec spec) bool { return !slices.ContainsFunc(words, contains(spec)) })
}

// The special interest group that a spec belongs to.
func (s spec) sig() string {
	if sig, _, isThere := strings.Cut(strings.TrimPrefix(s.Name, "["), "]"); isThere {
		return sig
	}
	return "none"
}

// Whether it must not run beside others.
func (s spec) isSerial() bool { return strings.Contains(s.Name, "[Serial]") }

// What Ginkgo's focus must be for this spec alone. Ginkgo puts the name of the suite in front of what it compares.
func (s spec) focus() string { return " " + regexp.QuoteMeta(s.Name) + "$" }

// Its name as a file may have it.
func (s spec) file() string {
	name := strings.Trim(unfit.ReplaceAllString(s.Name, "-"), "-")
	return name[:min(len(name), fileNameMost)]
}

// File systems allow 255 bytes, ending included.
const fileNameMost = 200

var unfit = regexp.MustCompile(`[^A-Za-z0-9.]+`)

func bySig(a, b spec) int { return cmp.Or(cmp.Compare(a.sig(), b.sig()), cmp.Compare(a.Name, b.Name)) }
