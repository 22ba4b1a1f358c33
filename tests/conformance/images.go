package main

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// How often Pods are looked at.
	lookEvery = 2 * time.Second
	// How long one look, or the end of a run, may take.
	lookWithin = 10 * time.Second
	// The label that the suite gives to the namespaces of a run.
	runLabel = "e2e-run"
)

// Why a Pod whose image is none for Kapelle waits.
var imageReasons = []string{"ErrImagePull", "ImagePullBackOff", "InvalidImage", "InvalidImageName", "ImageInspectError"}

// An imageWatch finds out that a run waits for Pods whose images cannot run, as those of containers cannot.
type imageWatch struct {
	client *kubernetes.Clientset
	limit  time.Duration

	mutex sync.Mutex
	run   string
	found []string
}

// A channel that is closed when such a Pod was seen for the first time as long ago as is allowed: a spec need not wait for its
// Pods to run. It is never closed when the context ends before.
func (w *imageWatch) hopeless(ctx context.Context, run <-chan string) <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		var since time.Time
		ticks := time.NewTicker(lookEvery)
		defer ticks.Stop()
		for {
			select {
			case name := <-run:
				w.mutex.Lock()
				w.run = name
				w.mutex.Unlock()
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			if w.look(ctx) && since.IsZero() {
				since = time.Now()
			}
			if !since.IsZero() && time.Since(since) > w.limit {
				close(closed)
				return
			}
		}
	}()
	return closed
}

// Looks at the Pods of the run; answers whether one has ever been kept from running by its image.
func (w *imageWatch) look(ctx context.Context) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	for _, namespace := range w.namespaces(ctx) {
		pods, err := w.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for _, pod := range pods.Items {
			w.found = append(w.found, unusableImages(pod.Status)...)
		}
	}
	slices.Sort(w.found)
	w.found = slices.Compact(w.found)
	return len(w.found) > 0
}

// The namespaces that the run has made and not deleted yet.
func (w *imageWatch) namespaces(ctx context.Context) []string {
	if w.run == "" {
		return nil
	}
	list, err := w.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: runLabel + "=" + w.run})
	if err != nil {
		return nil
	}
	var names []string
	for _, namespace := range list.Items {
		names = append(names, namespace.Name)
	}
	return names
}

func unusableImages(status corev1.PodStatus) []string {
	var images []string
	for _, container := range slices.Concat(status.InitContainerStatuses, status.ContainerStatuses) {
		if waiting := container.State.Waiting; waiting != nil && slices.Contains(imageReasons, waiting.Reason) {
			images = append(images, container.Image)
		}
	}
	return images
}

// The images that were found.
func (w *imageWatch) images() []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.Clone(w.found)
}

// Deletes what a run that was ended has left, so that it takes nothing from the others.
func (w *imageWatch) cleanUp() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	for _, namespace := range w.namespaces(ctx) {
		_ = w.client.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})
	}
}
