package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
)

func TestSerialSpecsRunAloneAndLast(t *testing.T) {
	var order []string
	var running atomic.Int32
	run := func(_ context.Context, spec spec) (result, error) {
		if others := running.Add(1); spec.isSerial() && others > 1 {
			t.Error("a serial spec runs beside another one")
		}
		defer running.Add(-1)
		return result{Name: spec.Name}, nil
	}
	keep := func(result result) error { order = append(order, result.Name); return nil }
	if err := inParallel(context.Background(), three, 2, run, keep); err != nil {
		t.Fatal(err)
	}
	if len(order) != 3 || slices.Index(order, three[1].Name) != 2 {
		t.Errorf("the serial spec is the last one, not %v", order)
	}
}

func TestAnErrorEndsTheRun(t *testing.T) {
	broken := errors.New("the disk is full")
	run := func(_ context.Context, spec spec) (result, error) { return result{Name: spec.Name}, nil }
	keep := func(result) error { return broken }
	if err := inParallel(context.Background(), three, 1, run, keep); !errors.Is(err, broken) {
		t.Errorf("the run ends with %v", err)
	}
}
