package main

import (
	"regexp"
	"slices"
	"strings"
)

// What most misses have in common. The images are named in the document.
const reasonOfImages = "a Pod waits for an image that is no WebAssembly, and is not replaced"

const (
	// A reason is not longer than this, and no more of it is kept, in bytes.
	reasonMost = 200
	reasonKept = 4096
)

type replacement struct {
	pattern *regexp.Regexp
	with    string
}

var (
	// Gomega shows values behind their types, such as `<*errors.StatusError | 0xc0001>: {…}`.
	typed = regexp.MustCompile(`^<[^>]*>:?\s*`)
	// What says enough alone, wherever it stands.
	enough = []*regexp.Regexp{
		regexp.MustCompile(`[\w.]+ is not served`),
		regexp.MustCompile(`server-side apply is not supported yet`),
	}
	// What says less than what stands behind it, and what nobody reads.
	idle = []replacement{
		{regexp.MustCompile(`^.*?(\S+) "[^"]*" is invalid: `), "$1 is invalid: "},
		{regexp.MustCompile(`, got \[\]\S*\{.*`), ""},
		{regexp.MustCompile(`&?\w+(\.\w+)?\{.*`), "…"},
	}
	// What is another one in each run, and what stands in its place, so that equal faults read alike.
	varying = []replacement{
		{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UID"},
		{regexp.MustCompile(`\b0x[0-9a-f]+\b`), "ADDRESS"},
		{regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+(:\d+)?\b`), "IP"},
		{regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|s|m\d+s)\b`), "TIME"},
		{regexp.MustCompile(`\b([a-z][a-z0-9-]*)-\d{2,}\b`), "$1-N"},
		{regexp.MustCompile(`\b([a-z][a-z-]*)-[a-z0-9]{5}\b`), "$1-X"},
	}
)

// The first sentence of a failure that says something, without what differs from run to run.
func shorten(message string) string {
	var said []string
	for line := range strings.Lines(message) {
		line = typed.ReplaceAllString(strings.TrimSpace(line), "")
		isHeading := strings.HasSuffix(line, "Unexpected error:")
		line = strings.TrimSpace(strings.TrimSuffix(line, "Unexpected error:"))
		if line == "" || line == "{" {
			continue
		}
		said = append(said, strings.TrimSuffix(line, ":"))
		// A heading goes on in the next line that has words.
		if !isHeading {
			break
		}
	}
	reason := strings.Join(said, ": ")
	for _, of := range enough {
		if found := of.FindString(reason); found != "" {
			return found
		}
	}
	for _, of := range slices.Concat(idle, varying) {
		reason = of.pattern.ReplaceAllString(reason, of.with)
	}
	if letters := []rune(reason); len(letters) > reasonMost {
		reason = strings.TrimSpace(string(letters[:reasonMost])) + "…"
	}
	if reason == "" {
		return "it does not say why"
	}
	return reason
}
