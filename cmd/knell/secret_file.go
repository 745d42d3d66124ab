package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// secretFile is where a secret goes: a new file, or standard output. The file is made before the secret is good for anything, so that
// none is lost because it could not be written.
type secretFile struct{ f *os.File }

// newSecretFile makes the file, which only its owner can read; "" is standard output.
func newSecretFile(path string) (*secretFile, error) {
	if path == "" {
		return &secretFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, usagef("--out: %w", err)
	}
	return &secretFile{f}, nil
}

// discard removes the file.
func (s *secretFile) discard() {
	if s.f != nil {
		s.f.Close()
		os.Remove(s.f.Name())
	}
}

// write writes the secret, with a line break behind it. Without a secret the file goes away.
func (s *secretFile) write(t *terminal, secret []byte) error {
	if len(secret) == 0 {
		s.discard()
		return nil
	}
	line := append(bytes.TrimRight(secret, "\n"), '\n')
	if s.f == nil {
		fmt.Fprintln(t.err, "keep what follows, it is not shown again:")
		_, err := t.out.Write(line)
		return err
	}
	_, err := s.f.Write(line)
	return errors.Join(err, s.f.Sync(), s.f.Close())
}
