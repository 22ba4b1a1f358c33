package main

import (
	"strings"
	"testing"
)

func TestTheDocumentNamesEachImageThatIsReplaced(t *testing.T) {
	text := document(three, nil)
	for _, guest := range guests {
		for _, id := range guest.images {
			upstream, own := names(id)
			if !strings.HasPrefix(upstream, "registry.k8s.io/") || !strings.HasPrefix(own, guestRepository+"/") {
				t.Errorf("%s is replaced by %s", upstream, own)
			}
			if row := "| `" + upstream + "` | `" + own + "` |"; !strings.Contains(text, row) {
				t.Errorf("the document lacks %q", row)
			}
		}
	}
}
