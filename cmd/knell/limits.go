package main

import (
	"time"

	"github.com/knell-auth/knell/node"
)

// limitFlags are the settings of what is slowed down.
type limitFlags struct {
	LoginFreeAttempts int           `env:"KNELL_LOGIN_FREE_ATTEMPTS" default:"5" help:"Wrong passwords for one account from one address before delays begin; 4 times as many for the account, 20 for the address."`
	LoginMaxDelay     time.Duration `env:"KNELL_LOGIN_MAX_DELAY" default:"15m" help:"Longest delay between two guesses; one guess is forgotten in each such time."`
	NoLimits          bool          `env:"KNELL_NO_LIMITS" help:"Limit neither guesses nor refreshes: for benchmarks."`
}

func (f *limitFlags) check() []error {
	return []error{
		unless(f.LoginFreeAttempts >= 1 && f.LoginFreeAttempts <= 1000, "--login-free-attempts %d: want 1 to 1000", f.LoginFreeAttempts),
		unless(f.LoginMaxDelay >= time.Second && f.LoginMaxDelay <= 24*time.Hour, "--login-max-delay %v: want 1s to 24h", f.LoginMaxDelay),
	}
}

// limits returns the settings of package node.
func (f *limitFlags) limits() node.Limits {
	return node.Limits{Off: f.NoLimits, Free: f.LoginFreeAttempts, MaxDelay: f.LoginMaxDelay}
}
