// Package tap prints what was tried in the form that tests/tools/run counts, see there.
package tap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// The longest that one thing may take.
const limit = time.Minute

// How often something is looked at that cannot be waited for.
const interval = 50 * time.Millisecond

var count int

// Skip is what a check returns if the cluster does not serve what it takes; the text says what.
type Skip string

func (s Skip) Error() string { return string(s) }

// Check tries something, and says how it ended.
func Check(what string, try func(ctx context.Context) error) {
	count++
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := try(ctx)
	var skip Skip
	switch {
	case err == nil:
		fmt.Println("ok -", what)
	case errors.As(err, &skip):
		fmt.Println("ok -", what, "# SKIP", skip)
	default:
		fmt.Fprintf(os.Stderr, "== %s\n%v\n", what, err)
		fmt.Printf("not ok - %s: %.400s\n", what, strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

// Needs is what all checks build upon; the program ends without it.
func Needs[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	return value
}

// Done says how much was tried.
func Done() { fmt.Printf("1..%d\n", count) }

// Until waits until `look` says yes.
func Until(ctx context.Context, what string, look func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if yes, err := look(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after 20 s still not: %s", what)
		case <-time.After(interval):
		}
	}
}

// Same says in what two values differ.
func Same[T comparable](what string, got, wanted T) error {
	if got != wanted {
		return fmt.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
	return nil
}

// That says that something is wrong, unless it holds.
func That(holds bool, format string, values ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf("wrong: "+format, values...)
}

// First is the first of several errors, in the order in which they were found.
func First(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
