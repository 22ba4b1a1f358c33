// Drives a cluster over gRPC: connects, pushes a module, applies a Pod, follows it, reads its log, meets errors, deletes.
//
// Usage: go run . KUBECONFIG MODULE.wasm (docs/grpc.md says how to generate what is imported here).
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"gopkg.in/yaml.v3"

	api "tour/gen/kapelle/api/v1"
)

// What gRPC itself repeats: requests that change nothing, while no master answers.
const retries = `{"methodConfig": [{
	"name": [
		{"service": "kapelle.api.v1.Objects", "method": "Get"},
		{"service": "kapelle.api.v1.Objects", "method": "List"},
		{"service": "kapelle.api.v1.Objects", "method": "Watch"}
	],
	"waitForReady": true,
	"retryPolicy": {
		"maxAttempts": 5,
		"initialBackoff": "0.1s",
		"maxBackoff": "2s",
		"backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

const (
	pod = `{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": {"name": "tour-go", "labels": {"app": "tour"}},
		"spec": {
			"restartPolicy": "Never",
			"containers": [{"name": "main", "image": "tour:v1", "env": [{"name": "LIMIT", "value": "1000"}]}]
		}
	}`
	// Of the label, whoever applied it first is told.
	other = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tour-go", "labels": {"app": "other"}}}`
	// What is wrong with it is told by field.
	empty = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tour-go"}, "spec": {}}`
)

var key = &api.ObjectKey{Kind: "Pod", Namespace: "default", Name: "tour-go"}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: tour KUBECONFIG MODULE.wasm")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := tour(ctx, os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func tour(ctx context.Context, kubeconfig, module string) error {
	connection, err := connect(kubeconfig)
	if err != nil {
		return err
	}
	defer connection.Close()
	objects := api.NewObjectsClient(connection)

	digest, err := push(ctx, api.NewImagesClient(connection), module, "tour", "v1")
	if err != nil {
		return err
	}
	fmt.Println("pushed:", strings.Split(digest, ":")[0])

	options := &api.WriteOptions{FieldManager: "tour"}
	applied, err := objects.Apply(ctx, &api.ApplyRequest{Manifest: []byte(pod), Namespace: "default", Options: options})
	if err != nil {
		return err
	}
	fmt.Println("applied:", applied.Outcome)

	err = follow(ctx, objects, key, func(event *api.WatchEvent) bool {
		phase := event.Object.GetPod().GetStatus().GetPhase()
		fmt.Printf("%s: %s\n", event.Type, phase)
		return phase != "Succeeded" && phase != "Failed"
	})
	if err != nil {
		return err
	}
	request := &api.LogRequest{Namespace: "default", Pod: key.Name, Follow: true}
	if err := printLog(ctx, api.NewLogsClient(connection), request); err != nil {
		return err
	}

	list, err := objects.List(ctx, &api.ListRequest{Kind: "Pod", Namespace: "default", LabelSelector: "app=tour"})
	if err != nil {
		return err
	}
	for _, item := range list.Items {
		fmt.Println("listed:", item.GetPod().Metadata.Name)
	}

	_, err = objects.Get(ctx, &api.GetRequest{Key: &api.ObjectKey{Kind: "Pod", Namespace: "default", Name: "nobody"}})
	told(err)
	// Whoever applies owns what it says; `Force` would take it over.
	somebody := &api.WriteOptions{FieldManager: "somebody-else"}
	_, err = objects.Apply(ctx, &api.ApplyRequest{Manifest: []byte(other), Namespace: "default", Options: somebody})
	told(err)
	_, err = objects.Apply(ctx, &api.ApplyRequest{Manifest: []byte(empty), Namespace: "default", Options: options})
	told(err)

	if _, err := objects.Delete(ctx, &api.DeleteRequest{Key: key}); err != nil {
		return err
	}
	fmt.Println("deleted")
	return nil
}

// A kubeconfig, as far as it is read here.
type config struct {
	CurrentContext string `yaml:"current-context"`
	Contexts       []struct {
		Name    string
		Context struct{ Cluster, User string }
	}
	Clusters []struct {
		Name    string
		Cluster struct {
			Server    string
			Authority string `yaml:"certificate-authority-data"`
		}
	}
	Users []struct {
		Name string
		User struct {
			Certificate string `yaml:"client-certificate-data"`
			Key         string `yaml:"client-key-data"`
		}
	}
}

// connect opens a connection to the cluster of a kubeconfig, as its user.
func connect(path string) (*grpc.ClientConn, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config config
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// Those that Kapelle writes have one of each; another one is looked up by current-context.
	if len(config.Clusters) != 1 || len(config.Users) != 1 {
		return nil, fmt.Errorf("%s: expected one cluster and one user", path)
	}
	cluster, user := config.Clusters[0].Cluster, config.Users[0].User
	pem := make([][]byte, 3)
	for i, text := range []string{cluster.Authority, user.Certificate, user.Key} {
		if pem[i], err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	certificate, err := tls.X509KeyPair(pem[1], pem[2])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem[0])
	return grpc.NewClient(
		strings.TrimPrefix(cluster.Server, "https://"),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs:      roots,
			Certificates: []tls.Certificate{certificate},
		})),
		grpc.WithDefaultServiceConfig(retries),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second}),
	)
}

// push stores a module in the cluster's registry, in pieces, and returns the digest of its manifest.
func push(ctx context.Context, images api.ImagesClient, path, repository, tag string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	stream, err := images.Push(ctx)
	if err != nil {
		return "", err
	}
	// Why a piece is not taken is said by CloseAndRecv.
	send := func(piece *api.PushRequest) bool { return stream.Send(piece) == nil }
	more := send(&api.PushRequest{Repository: repository, Tag: tag})
	for piece := make([]byte, 1<<20); more; {
		n, err := file.Read(piece)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", err
		}
		more = send(&api.PushRequest{Data: piece[:n]})
	}
	answer, err := stream.CloseAndRecv()
	return answer.GetDigest(), err
}

// follow tells of one object's states as they come, until it is told to stop. A broken watch goes on where it was.
func follow(ctx context.Context, objects api.ObjectsClient, key *api.ObjectKey, tell func(*api.WatchEvent) bool) error {
	seen := "" // Empty: first what exists, then what changes.
	for {
		watch, err := objects.Watch(ctx, &api.WatchRequest{
			Kind:            key.Kind,
			Namespace:       key.Namespace,
			FieldSelector:   "metadata.name=" + key.Name,
			ResourceVersion: seen,
			AllowBookmarks:  true,
		})
		for err == nil {
			var response *api.WatchResponse
			if response, err = watch.Recv(); err != nil {
				break
			}
			for _, event := range response.Events {
				if event.Type != api.WatchEvent_BOOKMARK && !tell(event) {
					return nil
				}
				seen = event.ResourceVersion
			}
		}
		switch code := status.Code(err); {
		case code == codes.OutOfRange:
			seen = "" // So old that the changes since then are forgotten: begin anew.
		case errors.Is(err, io.EOF), code == codes.Unavailable:
		default:
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func printLog(ctx context.Context, logs api.LogsClient, request *api.LogRequest) error {
	stream, err := logs.Read(ctx, request)
	if err != nil {
		return err
	}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		os.Stdout.Write(chunk.Data)
	}
}

// told prints what an error says: its code and text, and of the details the reason and the wrong fields.
func told(err error) {
	status := status.Convert(err)
	fmt.Printf("refused: %s: %s\n", status.Code(), status.Message())
	for _, detail := range status.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Println("  reason", detail.Reason)
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				fmt.Printf("  field %s: %s\n", violation.Field, violation.Description)
			}
		case *errdetails.PreconditionFailure:
			for _, violation := range detail.Violations {
				fmt.Printf("  field %s: %s\n", violation.Subject, violation.Description)
			}
		}
	}
}
