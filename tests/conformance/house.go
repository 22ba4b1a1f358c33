package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// A house is the repository, as far as it matters here: where things are, and what is built where.
type house struct {
	root   string
	module string
	target string
}

// The modules that the version of upstream's programs is read off.
const (
	kubernetesModule = "k8s.io/kubernetes"
	etcdModule       = "go.etcd.io/etcd/server/v3"
)

// What is built, by which `go` command. `go test -c` makes upstream's suite as upstream makes it, who has vetted it before.
var programs = map[string][]string{
	"e2e.test":       {"test", "-c", "-vet=off", kubernetesModule + "/test/e2e"},
	"kube-apiserver": {"build", kubernetesModule + "/cmd/kube-apiserver"},
	"etcd":           {"build", etcdModule},
}

func newHouse(module string) (house, error) {
	module, err := filepath.Abs(module)
	if err != nil {
		return house{}, err
	}
	root := filepath.Dir(filepath.Dir(module))
	h := house{root: root, module: module, target: filepath.Join(root, "target", "conformance")}
	return h, os.MkdirAll(h.logs(), 0o755)
}

// What the suite said of each spec, the last time that it ran.
func (h house) logs() string { return filepath.Join(h.target, "logs") }

func (h house) results() string { return filepath.Join(h.target, "results.jsonl") }

// The path of one of upstream's programs, which is built if it is missing.
func (h house) program(ctx context.Context, name string) (string, error) {
	path := filepath.Join(h.target, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, h.build(ctx, name)
}

// Builds the named programs, or all.
func (h house) buildAll(ctx context.Context, names []string) error {
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(programs))
	}
	for _, name := range names {
		if err := h.build(ctx, name); err != nil {
			return err
		}
		fmt.Println(filepath.Join(h.target, name))
	}
	return nil
}

func (h house) build(ctx context.Context, name string) error {
	words, isKnown := programs[name]
	if !isKnown {
		return fmt.Errorf("there is no program %s; there are %s", name, strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
	}
	fmt.Fprintf(os.Stderr, "building %s, which takes many minutes the first time\n", name)
	stamp := "-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=" + moduleVersion(kubernetesModule)
	arguments := slices.Concat(words[:1], []string{"-C", h.module, stamp, "-o", filepath.Join(h.target, name)}, words[1:])
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("cannot build %s: %w", name, err)
	}
	return nil
}

// The version by which this program, and so what it builds, has a module.
func moduleVersion(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}
