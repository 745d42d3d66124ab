package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Build compiles cmd/knell of the module that the working directory is in, with the given build tags, and returns the
// path of the binary, which is in dir.
func Build(ctx context.Context, dir, tags string) (string, error) {
	return buildKnell(ctx, dir, tags)
}

// BuildShort is Build for a knell whose password hashes cost little: to make the sessions of a cluster that lives for seconds would take a
// fifth of its time.
func BuildShort(ctx context.Context, dir, tags string) (string, error) {
	return buildKnell(ctx, dir, tags, "-ldflags=-X=main.testHashes=yes")
}

func buildKnell(ctx context.Context, dir, tags string, flags ...string) (string, error) {
	return build(ctx, filepath.Join(dir, strings.TrimSuffix("knell-"+tags, "-")), "./cmd/knell", append(flags, "-tags="+tags)...)
}

// buildNATS compiles nats-server as the module requires it, and returns the path of the binary, which is in dir.
func buildNATS(ctx context.Context, dir string) (string, error) {
	return build(ctx, filepath.Join(dir, "nats-server"), "github.com/nats-io/nats-server/v2")
}

func build(ctx context.Context, out, pkg string, flags ...string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("cluster: looking for the module: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-o", out}, flags, []string{pkg})...)
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cluster: building %s: %w", pkg, err)
	}
	return out, nil
}
