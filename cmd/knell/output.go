package main

import (
	"fmt"
	"io"
	"sync"
)

// output is where a demonstration is shown. When nobody can see it any more there is no reason to go on: the first error ends
// it.
type output struct {
	w      io.Writer
	broken func() // called once, at the first error
	once   sync.Once
	err    error // written in once
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		o.once.Do(func() {
			o.err = fmt.Errorf("writing to standard output: %w", err)
			o.broken()
		})
	}
	return n, err
}

// error returns the first error. Nobody writes any more.
func (o *output) error() error { return o.err }
