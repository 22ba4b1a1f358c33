package main

import (
	"path/filepath"
	"strings"
	"testing"
)

var three = []spec{
	{"[sig-a] Thing should be [Conformance]"},
	{"[sig-a] Thing should run [Serial] [Conformance]"},
	{"[sig-b] Other should be [Conformance]"},
}

func TestTheDocumentTellsOnlyWhatHasRun(t *testing.T) {
	text := document(three, []result{
		{Name: three[0].Name, Passed: true},
		{Name: three[1].Name, Reason: reasonOfImages, Images: []string{"agnhost:2"}},
	})
	for _, want := range []string{
		"**1 of 3** conformance specs of Kubernetes pass. Only 2 were run; the others, listed at the end, count as missed.",
		"| sig-a | 1 | 2 |\n| sig-b | 0 | 1 |",
		"### " + reasonOfImages + " (1)\n\n- \\[sig-a\\] Thing should run \\[Serial\\] \\[Conformance\\] (agnhost:2)",
		"## Passed\n\n- \\[sig-a\\] Thing should be",
		"## Not run\n\n- \\[sig-b\\]",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
}

func TestABookRemembersTheLastResultOfEach(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	for _, passed := range []bool{false, true} {
		book, err := openBook(path, false)
		if err != nil {
			t.Fatal(err)
		}
		if isKnown := len(without(three, book.results())) == 2; isKnown != passed {
			t.Error("what is in the file is known, and nothing else")
		}
		if err := book.add(result{Name: three[0].Name, Passed: passed}); err != nil {
			t.Fatal(err)
		}
		book.close()
	}
	book, err := openBook(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if results := book.results(); len(results) != 1 || !results[0].Passed {
		t.Errorf("the later result counts, not %v", results)
	}
	if book, err = openBook(path, true); err != nil || len(book.results()) != 0 {
		t.Error("a fresh book is empty")
	}
}

func TestWordsChooseSpecs(t *testing.T) {
	if got := matching(three, []string{"Serial", "sig-b"}); len(got) != 2 {
		t.Errorf("two of three are chosen, not %v", got)
	}
	if !three[1].isSerial() || three[0].isSerial() || three[2].sig() != "sig-b" {
		t.Error("a name says who cares for a spec, and whether it runs alone")
	}
	if got := three[0].focus(); got != ` \[sig-a\] Thing should be \[Conformance\]$` {
		t.Errorf("the focus is exact, not %q", got)
	}
}
