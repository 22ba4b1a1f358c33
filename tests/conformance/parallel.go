package main

import (
	"context"
	"sync"
)

// Runs every spec, so many at the same time, then the serial ones one by one. Results are handed to `keep` one after the other;
// what was interrupted has none. The first error, of `run` or of `keep`, ends everything.
func inParallel(
	ctx context.Context, specs []spec, jobs int, run func(context.Context, spec) (result, error), keep func(result) error,
) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var writing sync.Mutex
	once := func(spec spec) {
		result, err := run(ctx, spec)
		writing.Lock()
		defer writing.Unlock()
		if err == nil && ctx.Err() == nil {
			err = keep(result)
		}
		if err != nil {
			fail(err)
		}
	}
	waiting, workers := make(chan spec), sync.WaitGroup{}
	for range max(jobs, 1) {
		workers.Go(func() {
			for spec := range waiting {
				once(spec)
			}
		})
	}
	var alone []spec
	for _, spec := range specs {
		if spec.isSerial() {
			alone = append(alone, spec)
			continue
		}
		select {
		case waiting <- spec:
		case <-ctx.Done():
		}
	}
	close(waiting)
	workers.Wait()
	for _, spec := range alone {
		if ctx.Err() == nil {
			once(spec)
		}
	}
	return context.Cause(ctx)
}
