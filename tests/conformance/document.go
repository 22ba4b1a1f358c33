package main

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

func writeDocument(path string, specs []spec, results []result) error {
	return os.WriteFile(path, []byte(document(specs, results)), 0o644)
}

// The document that tells what has run, and nothing else.
func document(specs []spec, results []result) string {
	passed := slices.DeleteFunc(slices.Clone(results), func(r result) bool { return !r.Passed })
	missed := slices.DeleteFunc(slices.Clone(results), func(r result) bool { return r.Passed })
	var text strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&text, format+"\n", values...) }
	line("# Conformance\n")
	line("**%d of %d** conformance specs of Kubernetes pass. %s\n", len(passed), len(specs), ran(len(results), len(specs)))
	line("`tests/conformance/run` has written this page; [CONTRIBUTING](../CONTRIBUTING.md) says how to run it.")
	line("Each spec ran in a process of its own of upstream's unchanged `e2e.test`, on a cluster of `kapelle dev`.\n")
	writeBuilds(line, results)
	writeGuests(line)
	writeSigs(line, specs, results)
	line("\n## Missed\n")
	line("The first sentence of each failure, the most frequent first; what differs from run to run is left out.")
	writeMisses(line, missed)
	line("\n## Passed\n")
	for _, result := range passed {
		line("- %s", plain(result.Name))
	}
	if unknown := without(specs, results); len(unknown) > 0 {
		line("\n## Not run\n")
		for _, spec := range unknown {
			line("- %s", plain(spec.Name))
		}
	}
	return text.String()
}

func ran(results, specs int) string {
	if results == specs {
		return "All were run."
	}
	return fmt.Sprintf("Only %d were run; the others, listed at the end, count as missed.", results)
}

type printer func(format string, values ...any)

// What took part, with how many specs if not the same took part in all.
func writeBuilds(line printer, results []result) {
	counts := map[build]int{}
	for _, result := range results {
		counts[result.Build]++
	}
	builds := slices.SortedFunc(maps.Keys(counts), func(a, b build) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.Kapelle, b.Kapelle))
	})
	line("| specs | days | limit of a spec | Kapelle | serves as | suite | kubectl | built with | images |")
	line("|---|---|---|---|---|---|---|---|---|")
	for _, of := range builds {
		var days, limits []string
		for _, result := range results {
			if result.Build == of {
				days, limits = append(days, result.At.Format("2006-01-02")), append(limits, result.Limit)
			}
		}
		line("| %d | %s | %s | %s | %s | Kubernetes %s | %s | %s | %s |",
			counts[of], joined(days), joined(limits), of.Kapelle, of.Server, of.Kubernetes, of.Kubectl, of.Go, of.images())
	}
}

// Which images Pods had.
func (b build) images() string {
	if b.Guests == "" {
		return "upstream's"
	}
	return "own, sha256 " + b.Guests
}

// What of upstream's was replaced, and by what.
func writeGuests(line printer) {
	line("\n## Images\n")
	line("Pods here run WebAssembly, and upstream's test images are containers. Those of the table are **replaced by programs of")
	line("our own**, which answer as far as the table says; their sources are [wasm-samples/conformance](../wasm-samples/conformance).")
	line("The suite itself is upstream's, and is told by `KUBE_TEST_REPO_LIST` to take these images from the cluster's registry.")
	line("No other image is replaced: a spec that needs one is missed.\n")
	line("| image of upstream | in its place | which has |")
	line("|---|---|---|")
	for _, guest := range guests {
		for _, id := range guest.images {
			upstream, own := names(id)
			line("| `%s` | `%s` | %s |", upstream, own, guest.does)
		}
	}
}

// Each word once, in order.
func joined(words []string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ", ")
}

func writeSigs(line printer, specs []spec, results []result) {
	all, passed := map[string]int{}, map[string]int{}
	for _, spec := range specs {
		all[spec.sig()]++
	}
	for _, result := range results {
		if result.Passed {
			passed[spec{result.Name}.sig()]++
		}
	}
	line("\n| sig | passed | of |")
	line("|---|---|---|")
	for _, sig := range slices.Sorted(maps.Keys(all)) {
		line("| %s | %d | %d |", sig, passed[sig], all[sig])
	}
}

func writeMisses(line printer, missed []result) {
	groups := map[string][]result{}
	for _, result := range missed {
		reason := shorten(result.Reason)
		groups[reason] = append(groups[reason], result)
	}
	reasons := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(groups[b]), len(groups[a])), cmp.Compare(a, b))
	})
	for _, reason := range reasons {
		line("\n### %s (%d)\n", plain(reason), len(groups[reason]))
		for _, result := range groups[reason] {
			images := ""
			if reason == reasonOfImages {
				images = " (" + strings.Join(result.Images, ", ") + ")"
			}
			line("- %s%s", plain(result.Name), images)
		}
	}
}

// Text in which Markdown sees no signs of its own.
func plain(text string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "<", `\<`, "*", `\*`, "_", `\_`, "`", "\\`", "|", `\|`).Replace(text)
}

// The specs that have no result.
func without(specs []spec, results []result) []spec {
	known := map[string]bool{}
	for _, result := range results {
		known[result.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(specs), func(spec spec) bool { return known[spec.Name] })
}
