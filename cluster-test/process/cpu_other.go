//go:build !linux

package process

import (
	"errors"
	"time"
)

// CPU returns the processor time that the process pid has used until now. It is known on Linux only.
func CPU(int) (time.Duration, error) { return 0, errors.ErrUnsupported }
