// Command knell runs replicas of the Knell session store and administers them. This package owns flags, output and
// wiring; what a replica consists of is package internal/replica.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitFailed = 1 // it was tried and failed
	exitUsage  = 2 // it was not tried: the command line, a setting or the environment is wrong
)

// cli is the command line.
type cli struct {
	Serve    serveCmd   `cmd:"" help:"Run one replica."`
	Dev      devCmd     `cmd:"" help:"Run three replicas behind a load balancer in this process, with demo accounts, to try Knell."`
	Init     initCmd    `cmd:"" help:"Create the first administrator, with access to the data directory."`
	User     userCmd    `cmd:"" help:"Administer users, with access to the data directory."`
	Client   clientCmd  `cmd:"" help:"Administer OAuth clients, with access to the data directory."`
	APIKey   apiKeyCmd  `cmd:"" name:"apikey" help:"Administer API keys, with access to the data directory."`
	Role     roleCmd    `cmd:"" help:"Say what roles give, with access to the data directory."`
	Key      keyCmd     `cmd:"" help:"Administer the keys that tokens are signed with, with access to the data directory."`
	Webhook  webhookCmd `cmd:"" help:"Administer webhooks, to which events are sent, with access to the data directory."`
	Revoke   revokeCmd  `cmd:"" help:"End sessions and tokens, with access to the data directory; returns when no replica accepts them any more."`
	Events   eventsCmd  `cmd:"" help:"Read the audit trail: follow it, export it, count it, verify it; or let others read it."`
	Backup   backupCmd  `cmd:"" help:"Write a backup of the log while the replica runs, with access to the data directory, or check one."`
	Restore  restoreCmd `cmd:"" help:"Make a data directory of a backup. Every session and token ends; passwords and keys wait for new ones."`
	Cluster  clusterCmd `cmd:"" help:"Make and replace what the replicas of a cluster know each other by; make a cluster of a standalone store; take a replica out."`
	watching `embed:""`
	Hash     hashCmd    `cmd:"" hidden:"" name:"hash-passwords" help:"Hash passwords for the process that started this one."`
	Version  versionCmd `cmd:"" help:"Print the version."`

	PrintVersion versionFlag `name:"version" help:"Print the version."`
}

// watching are the commands that only look.
type watching struct {
	Status statusCmd `cmd:"" help:"Show what a replica knows about itself and its peers."`
	Canary canaryCmd `cmd:"" help:"Watch an installation: log in, log out, and ask every replica whether it still accepts the token, again and again."`
	Doctor doctorCmd `cmd:"" help:"Examine what a replica stands on, and all replicas that can be asked; says what to do. Exit status 0: all is well, 1: warnings, 2: something is bad."`
	Bench  benchCmd  `cmd:"" help:"Send an installation, or a cluster of its own, a load, and measure logouts and leaks."`
}

// terminal is what commands read from and write to.
type terminal struct {
	in       *os.File
	out, err io.Writer
}

// usageError is an error in what the user asked for.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// exitCode is the exit code of another process that has said already what was wrong.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usagef returns a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	os.Exit(run(os.Args[1:], &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// run carries out one command line and returns the exit code.
func run(args []string, t *terminal) int {
	var c cli
	parser, err := newParser(&c, t)
	if err != nil { // the struct tags above are wrong
		fmt.Fprintln(t.err, "knell:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if i := slices.IndexFunc(args, func(a string) bool { return !utf8.ValidString(a) }); i >= 0 {
		err = usagef("argument %q is not UTF-8", args[i]) // the parser has made something else of it
	} else if err != nil {
		err = usageError{err}
	} else {
		err = ctx.Run()
	}
	return conclude(t, err)
}

// newParser returns what reads the command line into c.
func newParser(c *cli, t *terminal) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("knell"),
		kong.Description("Knell is a distributed session store with an event log: when a logout returns, no replica accepts the token any more."),
		kong.Writers(t.out, t.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"listen": "127.0.0.1:8080", "standalone": standaloneName, "logMaxBytes": defaultLogMaxBytes},
		kong.Bind(t),
		kong.BindTo(context.Background(), (*context.Context)(nil)),
	)
}

// conclude prints err and returns the exit code that it stands for.
func conclude(t *terminal, err error) int {
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	fmt.Fprintln(t.err, "knell:", err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}
