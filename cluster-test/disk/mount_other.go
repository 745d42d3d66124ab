//go:build !linux

package disk

import "errors"

type mount struct{}

func newMount(*Disk, string) (*mount, error) { return nil, errors.New("disk: mounting needs Linux") }

func (*mount) close() error { return nil }
