package main

import (
	"log/slog"
	"os"
	"runtime"

	"github.com/knell-auth/knell/internal/password"
)

// hashPasswords is the name of hashCmd.
const hashPasswords = "hash-passwords"

// hashParams are the costs of new hashes: the recommended ones. Tests, which hash much and protect nothing, set lower ones.
var hashParams = hashCosts(testHashes)

// testHashes is "yes" in builds for clusters that live for a test, by the linker's -X (cluster-test/cluster, BuildShort), and nowhere else.
var testHashes string

// hashCosts returns the costs of new hashes; the zero value stands for the recommended ones.
func hashCosts(test string) password.Params {
	if test == "yes" {
		return password.Params{MemoryKiB: 256, Time: 1}
	}
	return password.Params{}
}

// hashCmd is what a replica starts, so that hashes do not hold up its own goroutines.
type hashCmd struct{}

// Run answers until standard input ends.
func (hashCmd) Run(t *terminal) error { return password.Serve(t.in, t.out) }

// hashers returns processes of this program that hash passwords. The caller closes them.
func hashers(log *slog.Logger) (*password.Processes, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS == "linux" {
		self = "/proc/self/exe" // the same program still, when another has taken its place in the file system
	}
	return password.NewProcesses(self, []string{hashPasswords}, func(err error) {
		log.Warn("passwords are hashed in this process for a minute; verification may take longer while many log in", "error", err)
	}), nil
}
