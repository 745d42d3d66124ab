package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/durable"
)

// defaultLogMaxBytes is the limit of a log when nothing else is said.
const defaultLogMaxBytes = "8GiB"

// devMarker is the file that marks a data directory of `knell dev`.
const devMarker = "knell-dev"

// usable makes dir unless it is there, and returns an error unless files can be made in it and, where no log was created
// yet, there is room for one.
func usable(dir string, log size) error {
	if err := durable.MakeDir(dir); err != nil {
		return usagef("--data %s: %w", dir, reason(err))
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return usagef("--data %s: not writable: %w", dir, reason(err))
	}
	_, err = f.WriteString("x")
	if err := errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return usagef("--data %s: not writable: %w", dir, err)
	}
	if hasStore(dir) {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return usagef("--data %s: %w", dir, err)
	}
	if free := float64(st.Bavail) * float64(st.Bsize); free < float64(log) {
		return usagef("--log-max-bytes %d: there are only %.0f bytes free in %s", log, free, dir)
	}
	return nil
}

// hasStore reports whether a replica has ever run on dir: the embedded server marks a directory before it makes a store.
func hasStore(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "mode.json"))
	return !errors.Is(err, fs.ErrNotExist)
}

// refuseDevData returns an error when dir was made by `knell dev`: everybody knows the passwords of its accounts.
func refuseDevData(dir string) error {
	for _, d := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if _, err := os.Stat(filepath.Join(d, devMarker)); err == nil {
			return usagef("--data %s was made by knell dev: the passwords of its accounts are public", dir)
		}
	}
	return nil
}

// explain adds to an error of a replica which flags it is about.
func explain(err error) error {
	if errors.Is(err, events.ErrStreamConfig) && strings.Contains(err.Error(), "num_replicas") {
		return fmt.Errorf("%w; --replicas (with --nats-url: --log-copies) must be what it was when the log was created", err)
	}
	return err
}
