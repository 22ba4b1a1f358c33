package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// A build is all that a result depends on.
type build struct {
	Kapelle    string `json:"kapelle"`
	Server     string `json:"server"`
	Kubernetes string `json:"kubernetes"`
	Kubectl    string `json:"kubectl"`
	Go         string `json:"go"`
	// Guests is the digest of what takes the place of upstream's images; empty, if nothing does.
	Guests string `json:"guests,omitempty"`
}

// A result is what came of one spec.
type result struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	// Reason is why not, as it was said.
	Reason  string    `json:"reason,omitempty"`
	Images  []string  `json:"images,omitempty"`
	Seconds float64   `json:"seconds"`
	Limit   string    `json:"limit"`
	At      time.Time `json:"at"`
	Build   build     `json:"build"`
}

func (r result) word() string {
	if r.Passed {
		return "passed"
	}
	return "missed"
}

func (r result) because() string {
	if r.Passed {
		return ""
	}
	return "\n      " + strings.TrimSpace(shorten(r.Reason)+" "+strings.Join(r.Images, " "))
}

// A book keeps results in a file of a line each; of two of one spec the later one counts.
type book struct {
	file  *os.File
	known map[string]result
}

func openBook(path string, fresh bool) (*book, error) {
	if fresh {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	book := &book{file: file, known: map[string]result{}}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		var result result
		if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
			return nil, fmt.Errorf("%s:%d: %w; -fresh begins anew", path, number, err)
		}
		book.known[result.Name] = result
	}
	return book, lines.Err()
}

func (b *book) add(result result) error {
	line, err := json.Marshal(result)
	if err != nil {
		return err
	}
	b.known[result.Name] = result
	_, err = b.file.Write(append(line, '\n'))
	return err
}

// All results, by name.
func (b *book) results() []result {
	var all []result
	for _, result := range b.known {
		all = append(all, result)
	}
	slices.SortFunc(all, func(a, b result) int { return bySig(spec{a.Name}, spec{b.Name}) })
	return all
}

func (b *book) close() { _ = b.file.Close() }
