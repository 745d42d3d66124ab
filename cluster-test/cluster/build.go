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
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("cluster: looking for the module: %w", err)
	}
	out := filepath.Join(dir, strings.TrimSuffix("knell-"+tags, "-"))
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", tags, "-o", out, "./cmd/knell")
	cmd.Dir = strings.TrimSpace(string(root))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cluster: building knell: %w", err)
	}
	return out, nil
}
