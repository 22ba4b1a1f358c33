package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/kubernetes/test/utils/image"
	"sigs.k8s.io/yaml"
)

// The repository of the cluster's own registry in which the guests lie. The suite is told, in upstream's way, to look for the
// test images there.
const guestRepository = "conformance"

// A guest is a WebAssembly program of our own that takes the place of images of upstream's which are containers.
type guest struct {
	file   string
	images []image.ImageID
	does   string
}

// All that are replaced. Whatever else a Pod of the suite asks for, it does not get.
var guests = []guest{
	{"wasm32-wasip2/release/agnhost.wasm", []image.ImageID{image.Agnhost, image.AgnhostPrev},
		"`connect`, `crd-conversion-webhook`, `entrypoint-tester`, `guestbook`, `liveness`, `logs-generator`, `mounttest`, " +
			"`netexec`, `pause`, `porter`, `serve-hostname`, `test-service-account-issuer-discovery`, " +
			"`test-webserver`, `webhook`; over TCP alone; and the shell of `busybox`"},
	{"wasm32-wasip1/release/busybox.wasm", []image.ImageID{image.BusyBox},
		"`sh -c` with the commonest commands"},
	{"wasm32-wasip2/release/httpd.wasm", []image.ImageID{image.Nginx, image.NginxNew},
		"a web server on port 80 with one page"},
	{"wasm32-wasip2/release/nautilus.wasm", []image.ImageID{image.Nautilus},
		"a web server on port 80 that names its picture"},
	{"wasm32-wasip2/release/pause.wasm", []image.ImageID{image.Pause},
		"waits"},
}

// What upstream calls an image, and what the suite calls its place in the cluster's registry.
func names(id image.ImageID) (upstream, own string) {
	config := image.GetOriginalImageConfigs()[id]
	upstream = config.GetE2EImage()
	return upstream, guestRepository + upstream[strings.LastIndex(upstream, "/"):]
}

// The guests' sources: a workspace of its own.
func (h house) guests() string { return filepath.Join(h.root, "wasm-samples", "conformance") }

func (g guest) path(h house) string { return filepath.Join(h.guests(), "target", g.file) }

// Builds all guests with the toolchain of the repository.
func (h house) buildGuests(ctx context.Context) error {
	for _, words := range [][]string{
		{"--package", "servers", "--target", "wasm32-wasip2"},
		{"--package", "busybox", "--target", "wasm32-wasip1"},
	} {
		command := exec.CommandContext(ctx, "cargo", append([]string{"build", "--locked", "--release"}, words...)...)
		command.Dir = h.guests()
		command.Env = append(os.Environ(), "CARGO_TARGET_DIR="+filepath.Join(h.guests(), "target"))
		command.Stdout, command.Stderr = os.Stderr, os.Stderr
		if err := command.Run(); err != nil {
			return fmt.Errorf("cannot build the guests: %w; `rustup target add wasm32-wasip1 wasm32-wasip2`", err)
		}
	}
	return nil
}

// Stores the guests in the cluster's registry, under the names that the suite will ask for.
func (h house) pushGuests(ctx context.Context, cluster *cluster) error {
	for _, guest := range guests {
		for _, id := range guest.images {
			_, own := names(id)
			push := exec.CommandContext(ctx, cluster.kapelle, "push", "--kubeconfig", cluster.kubeconfig, guest.path(h), own)
			if said, err := push.CombinedOutput(); err != nil {
				return fmt.Errorf("cannot push %s: %w: %s", own, err, said)
			}
		}
	}
	return nil
}

// Writes the file that tells the suite where images are.
func (h house) repositories() (string, error) {
	path := filepath.Join(h.target, "repositories.yaml")
	text, err := yaml.Marshal(map[string]string{"promoterE2eRegistry": guestRepository, "gcRegistry": guestRepository})
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, text, 0o644)
}

// What tells these guests from others.
func (h house) guestsDigest() (string, error) {
	sum := sha256.New()
	for _, guest := range guests {
		text, err := os.ReadFile(guest.path(h))
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	return fmt.Sprintf("%.12x", sum.Sum(nil)), nil
}
