package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build compiles cmd/knell of the module that the working directory is in, with the given build tags, and returns the
// path of the binary, which is in dir.
func Build(ctx context.Context, dir, tags string) (string, error) {
	return build(ctx, filepath.Join(dir, strings.TrimSuffix("knell-"+tags, "-")), "./cmd/knell", tags)
}

// buildNATS compiles nats-server as the module requires it, and returns the path of the binary, which is in dir.
func buildNATS(ctx context.Context, dir string) (string, error) {
	return build(ctx, filepath.Join(dir, "nats-server"), "github.com/nats-io/nats-server/v2", "")
}

func build(ctx context.Context, out, pkg, tags string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("cluster: looking for the module: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-o", out, pkg)
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cluster: building %s: %w", pkg, err)
	}
	return out, nil
}
