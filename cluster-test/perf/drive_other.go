//go:build !linux

package main

import (
	"context"
	"errors"
	"time"
)

var errLinux = errors.New("the load needs Linux")

type client struct{}

func connect(context.Context, load, int, int) (*client, error) { return nil, errLinux }

func (*client) drive(context.Context, time.Duration) ([]time.Duration, time.Duration, error) {
	return nil, 0, errLinux
}

func (*client) close() error { return nil }

func bindProcess(int, int) error { return errLinux }
