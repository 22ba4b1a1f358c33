package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// Limits of time.
type limits struct {
	spec  time.Duration
	image time.Duration
}

func (l limits) String() string {
	return fmt.Sprintf("%s, %s with an image that cannot run", l.spec, l.image)
}

const (
	// How long Ginkgo may clean up after a spec that has been stopped, and how long its process may take after that.
	graceOfGinkgo = 10 * time.Second
	graceOfKill   = 20 * time.Second
	// How long what the suite has started, such as kubectl, may hold its output open after its end.
	graceOfOutput = 5 * time.Second
	// The cluster is ready before the suite starts: this only bounds how long the suite waits for what never comes.
	suiteStart = 30 * time.Second
)

// A suite is upstream's, which runs single specs on one cluster.
type suite struct {
	program string
	cluster *cluster
	limits  limits
	build   build
	// The file that tells where the test images are.
	repositories string
	dir          string
	logs         string
}

// Runs one spec. An error means that it could not be tried, or was interrupted.
func (s suite) run(ctx context.Context, spec spec) (result, error) {
	dir, err := os.MkdirTemp(s.dir, "spec-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	began := time.Now()
	report := filepath.Join(dir, "report.json")
	images, err := s.execute(ctx, spec, dir, report)
	if err != nil {
		return result{}, err
	}
	kept := result{Name: spec.Name, Images: images, At: began.UTC().Truncate(time.Second), Build: s.build, Limit: s.limits.String()}
	kept.Passed, kept.Reason = judge(report, spec, images)
	kept.Reason = kept.Reason[:min(len(kept.Reason), reasonKept)]
	kept.Seconds = time.Since(began).Round(time.Second / 10).Seconds()
	return kept, nil
}

// Runs the suite with one spec until it ends or is ended; answers the images that kept a Pod of it from running.
func (s suite) execute(ctx context.Context, spec spec, dir, report string) ([]string, error) {
	log, err := os.Create(filepath.Join(s.logs, spec.file()+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	reader, writer := io.Pipe()
	command := s.command(spec, dir, report)
	command.Stdout, command.Stderr = writer, writer
	if err := command.Start(); err != nil {
		return nil, err
	}
	run, ended := make(chan string, 1), make(chan struct{})
	go tellRun(io.TeeReader(reader, log), run)
	go func() {
		_ = command.Wait()
		_ = writer.Close()
		close(ended)
	}()
	watch := imageWatch{client: s.cluster.client, limit: s.limits.image}
	watching, done := context.WithCancel(ctx)
	defer done()
	select {
	case <-ended:
	case <-watch.hopeless(watching, run):
		interrupt(command, ended)
	case <-time.After(s.limits.spec + graceOfGinkgo + graceOfKill):
		interrupt(command, ended)
	case <-ctx.Done():
		interrupt(command, ended)
		err = ctx.Err()
	}
	watch.cleanUp()
	return watch.images(), err
}

// The command that runs one spec: in a folder, a home and a process group of its own.
func (s suite) command(spec spec, dir, report string) *exec.Cmd {
	command := exec.Command(s.program,
		"--kubeconfig="+s.cluster.kubeconfig,
		"--provider=skeleton",
		// Nodes and system Pods are not waited for: there are none that the specs need and that come later.
		"--allowed-not-ready-nodes=-1",
		"--node-schedulable-timeout="+suiteStart.String(),
		"--system-pods-startup-timeout="+suiteStart.String(),
		"--disable-log-dump",
		"--ginkgo.focus="+spec.focus(),
		"--ginkgo.timeout="+s.limits.spec.String(),
		"--ginkgo.grace-period="+graceOfGinkgo.String(),
		"--ginkgo.no-color",
		"--ginkgo.json-report="+report,
	)
	command.Dir = dir
	command.Env = append(os.Environ(),
		"HOME="+dir, "KUBECONFIG="+s.cluster.kubeconfig, "KUBE_TEST_REPO_LIST="+s.repositories)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.WaitDelay = graceOfOutput
	return command
}

// Asks the suite to end, which then writes its report, and makes sure that it does.
func interrupt(command *exec.Cmd, ended <-chan struct{}) {
	_ = syscall.Kill(-command.Process.Pid, syscall.SIGINT)
	select {
	case <-ended:
	case <-time.After(graceOfGinkgo + graceOfKill):
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		<-ended
	}
}

// The suite says which label it gives its namespaces.
var runLine = regexp.MustCompile(`Starting e2e run "([^"]+)"`)

// Reads all that the suite says, and tells its run's name.
func tellRun(output io.Reader, run chan<- string) {
	lines := bufio.NewReader(output)
	for isTold := false; ; {
		line, err := lines.ReadString('\n')
		if match := runLine.FindStringSubmatch(line); match != nil && !isTold {
			isTold = true
			run <- match[1]
		}
		if err != nil {
			return
		}
	}
}

// Whether the spec passed, and why not, in the suite's own words.
func judge(path string, spec spec, images []string) (bool, string) {
	report, err := readReport(path)
	switch {
	case err != nil && len(images) > 0:
		return false, reasonOfImages
	case err != nil:
		return false, "the suite ended without a report: " + err.Error()
	}
	var own, around *types.SpecReport
	for i, of := range report.SpecReports {
		switch {
		// What the focus leaves out is skipped too, but says nothing.
		case of.FullText() == spec.Name && (of.State != types.SpecStateSkipped || of.Failure.Message != ""):
			own = &report.SpecReports[i]
		case of.State.Is(types.SpecStateFailureStates):
			around = &report.SpecReports[i]
		}
	}
	switch {
	case own != nil && own.State == types.SpecStatePassed && around == nil:
		return true, ""
	case own != nil && len(images) > 0 && hasWaited(own):
		return false, reasonOfImages
	case own != nil && own.State.Is(types.SpecStateFailureStates):
		return false, reason(own)
	case around != nil:
		return false, "the suite does not start: " + reason(around)
	case own != nil:
		return false, "the suite skipped it: " + own.Failure.Message
	}
	return false, "the suite has no such spec"
}

// Whether the spec did not get what it waited for.
func hasWaited(report *types.SpecReport) bool {
	return report.State.Is(types.SpecStateTimedout|types.SpecStateInterrupted) || waitWords.MatchString(report.Failure.Message)
}

var waitWords = regexp.MustCompile(`(?i)timed? ?out|deadline|wait`)

func reason(report *types.SpecReport) string {
	switch report.State {
	case types.SpecStateTimedout, types.SpecStateInterrupted:
		return "no end in time: " + report.Failure.ProgressReport.CurrentStepText
	default:
		return report.Failure.Message
	}
}

func readReport(path string) (types.Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return types.Report{}, err
	}
	var reports []types.Report
	if err := json.Unmarshal(text, &reports); err != nil {
		return types.Report{}, err
	}
	if len(reports) != 1 {
		return types.Report{}, errors.New("it is empty")
	}
	return reports[0], nil
}
