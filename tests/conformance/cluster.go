package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// A cluster is what the specs run on: one `kapelle dev` of our own, or one that was there.
type cluster struct {
	kubeconfig string
	kapelle    string
	client     *kubernetes.Clientset
	process    *exec.Cmd
	ended      chan struct{}
	dir        string
}

const (
	// Ranges that neither a `kapelle dev` beside this one nor the repository's tests use.
	podRange     = "127.224.0.0/12"
	serviceRange = "127.240.0.0/16"
	// How long a cluster may take until it is ready, and until it has ended.
	patience = time.Minute
	// What the suite asks of an API server at most, beside which this program asks little.
	requestsPerSecond = 50
)

func startCluster(house house, o options) (*cluster, error) {
	c := &cluster{kubeconfig: absolute(o.kubeconfig), kapelle: absolute(o.kapelle), ended: make(chan struct{})}
	if c.kapelle == "" {
		c.kapelle = filepath.Join(house.root, "target", "release", "kapelle")
	}
	if _, err := exec.LookPath("kubectl"); err != nil {
		return nil, errors.New("the specs call kubectl, which is not on the PATH")
	}
	if c.kubeconfig == "" {
		if err := c.start(house); err != nil {
			c.stop()
			return nil, err
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = requestsPerSecond, requestsPerSecond
	c.client, err = kubernetes.NewForConfig(config)
	return c, err
}

// Starts `kapelle dev` on a new directory and waits until it is ready.
func (c *cluster) start(house house) error {
	if _, err := os.Stat(c.kapelle); err != nil {
		return fmt.Errorf("%w; build it with `cargo build --release`, or name another with -kapelle", err)
	}
	dir, err := os.MkdirTemp(house.target, "cluster-")
	if err != nil {
		return err
	}
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	c.dir, c.kubeconfig = dir, filepath.Join(dir, "kubeconfig")
	c.process = exec.Command(c.kapelle, "dev", "--data-dir", dir, "--listen", listen,
		"--pod-cidr", podRange, "--service-cidr", serviceRange)
	log, err := os.Create(c.log())
	if err != nil {
		return err
	}
	defer log.Close()
	c.process.Stderr = log
	// An interrupt is for this program, which ends the cluster when nobody needs it any more.
	c.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output, err := c.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.process.Start(); err != nil {
		return err
	}
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(output)
		for isReady := false; lines.Scan(); {
			if !isReady && strings.HasPrefix(lines.Text(), "ready") {
				isReady = true
				close(ready)
			}
		}
		_ = c.process.Wait()
		close(c.ended)
	}()
	select {
	case <-ready:
		return nil
	case <-c.ended:
		return fmt.Errorf("kapelle dev has ended:\n%s", c.said())
	case <-time.After(patience):
		return fmt.Errorf("kapelle dev does not get ready:\n%s", c.said())
	}
}

// The suite runs in another folder than this program.
func absolute(path string) string {
	if whole, err := filepath.Abs(path); path != "" && err == nil {
		return whole
	}
	return path
}

// An address of this host that was free a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (c *cluster) log() string { return c.dir + ".log" }

// The end of what the process complained about.
func (c *cluster) said() string {
	text, _ := os.ReadFile(c.log())
	const most = 4096
	return string(text[max(0, len(text)-most):])
}

// A context that ends when the cluster does.
func (c *cluster) while(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c.ended:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx
}

// Ends the process and removes what it stored; its log stays.
func (c *cluster) stop() {
	if c.process == nil || c.process.Process == nil {
		return
	}
	_ = c.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
	case <-time.After(patience):
		_ = c.process.Process.Kill()
		<-c.ended
	}
	_ = os.RemoveAll(c.dir)
}

// What took part, for the document.
func (c *cluster) versions(house house) (build, error) {
	server, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return build{}, fmt.Errorf("the cluster does not answer: %w", err)
	}
	guests, err := house.guestsDigest()
	if err != nil {
		return build{}, err
	}
	commit := firstLine("git", "-C", house.root, "describe", "--always", "--dirty", "--exclude=*")
	kubectl := strings.TrimPrefix(firstLine("kubectl", "version", "--client"), "Client Version: ")
	return build{
		Kapelle:    program(c.kapelle) + ", tests of commit " + commit,
		Server:     server.GitVersion,
		Kubernetes: moduleVersion(kubernetesModule),
		Kubectl:    kubectl,
		Go:         runtime.Version(),
		Guests:     guests,
	}, nil
}

// A program's version, and its digest: which commit it was built from, nobody but its builder knows.
func program(path string) string {
	version := firstLine(path, "--version")
	bytes, err := os.ReadFile(path)
	if err != nil {
		return version
	}
	return fmt.Sprintf("%s, sha256 %.12x", version, sha256.Sum256(bytes))
}

func firstLine(name string, arguments ...string) string {
	text, err := exec.Command(name, arguments...).Output()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
