// Command conformance runs the conformance specs of Kubernetes against Kapelle, each in a run of its own with a limit of time,
// and writes docs/conformance.md. It is started by the script `run` beside it:
//
//	tests/conformance/run [FLAGS] [WORD…]        every spec, or those whose names contain one of the words
//	tests/conformance/run build [PROGRAM…]       only builds e2e.test, kube-apiserver and etcd, or those named
//
// What has run is kept in target/conformance/results.jsonl. Without words only specs without a result run, so that a run that
// was interrupted goes on; with words those specs run again. The document tells of all results that are kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// Options are what the command line asks for.
type options struct {
	module     string
	kapelle    string
	kubeconfig string
	jobs       int
	limits     limits
	fresh      bool
	list       bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, parse()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func parse() options {
	var o options
	flag.StringVar(&o.module, "module", ".", "the folder of this module")
	flag.StringVar(&o.kapelle, "kapelle", "", "the binary under test (default target/release/kapelle)")
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "test this cluster, in which everything may be destroyed, and start none")
	flag.IntVar(&o.jobs, "j", 4, "how many specs run at the same time; those marked [Serial] run alone, after all others")
	flag.DurationVar(&o.limits.spec, "limit", 2*time.Minute, "how long a spec may take")
	flag.DurationVar(&o.limits.image, "image-limit", 30*time.Second, "how long it may go on with a Pod whose image cannot run")
	flag.BoolVar(&o.fresh, "fresh", false, "forget all results first")
	flag.BoolVar(&o.list, "list", false, "only print the names of the specs")
	flag.Parse()
	return o
}

func run(ctx context.Context, o options) error {
	house, err := newHouse(o.module)
	if err != nil {
		return err
	}
	if words := flag.Args(); len(words) > 0 && words[0] == "build" {
		return house.buildAll(ctx, words[1:])
	}
	all, err := conformanceSpecs()
	if err != nil {
		return err
	}
	chosen := matching(all, flag.Args())
	if len(chosen) == 0 {
		return fmt.Errorf("no spec has a name that contains one of %q; -list prints them all", flag.Args())
	}
	if o.list {
		for _, spec := range chosen {
			fmt.Println(spec.Name)
		}
		return nil
	}
	book, err := openBook(house.results(), o.fresh)
	if err != nil {
		return err
	}
	defer book.close()
	if len(flag.Args()) == 0 {
		chosen = without(chosen, book.results())
	}
	if err := runSpecs(ctx, house, o, chosen, book); err != nil {
		return err
	}
	return writeDocument(filepath.Join(house.root, "docs", "conformance.md"), all, book.results())
}

// Builds what is missing, starts a cluster, and runs the specs on it.
func runSpecs(ctx context.Context, house house, o options, chosen []spec, book *book) error {
	if len(chosen) == 0 {
		return nil
	}
	program, err := house.program(ctx, "e2e.test")
	if err != nil {
		return err
	}
	if err := house.buildGuests(ctx); err != nil {
		return err
	}
	repositories, err := house.repositories()
	if err != nil {
		return err
	}
	cluster, err := startCluster(house, o)
	if err != nil {
		return err
	}
	defer cluster.stop()
	if err := house.pushGuests(ctx, cluster); err != nil {
		return err
	}
	build, err := cluster.versions(house)
	if err != nil {
		return err
	}
	suite := suite{program: program, cluster: cluster, limits: o.limits, build: build, repositories: repositories,
		dir: house.target, logs: house.logs()}
	done := 0
	err = inParallel(cluster.while(ctx), chosen, o.jobs, suite.run, func(result result) error {
		done++
		fmt.Printf("%d/%d %s %4.0f s  %s%s\n", done, len(chosen), result.word(), result.Seconds, result.Name, result.because())
		return book.add(result)
	})
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return fmt.Errorf("the cluster has ended by itself; it said:\n%s", cluster.said())
	}
	return err
}
