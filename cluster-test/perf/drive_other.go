//go:build !linux

package main

import (
	"context"
	"errors"
	"time"
)

var errLinux = errors.New("the load needs Linux")

func drive(context.Context, load, int, int, time.Duration) ([]time.Duration, time.Duration, error) {
	return nil, 0, errLinux
}

func bindProcess(int, int) error { return errLinux }
