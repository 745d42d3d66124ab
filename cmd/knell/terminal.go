package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// maxPassword is the size in bytes that is read where a password is expected.
const maxPassword = 4096

// isTerminal reports whether a person sits at f.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}

// readPassword returns a new password: the first line of file, or of standard input when that is no terminal, or what a
// person types twice. It never comes from the command line, which every user of the machine can read.
func readPassword(ctx context.Context, t *terminal, file, whose string) (string, error) {
	switch {
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return "", usagef("--password-file: %w", err)
		}
		defer f.Close()
		return firstLine(f, file)
	case t.in == nil || !isTerminal(t.in):
		return firstLine(t.in, "standard input")
	}
	first, err := ask(ctx, t, "Password for "+whose+": ")
	if err != nil {
		return "", err
	}
	second, err := ask(ctx, t, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}

// firstLine returns the first line of r without its end.
func firstLine(r io.Reader, name string) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPassword)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("reading the password from %s: %w", name, err)
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "":
		return "", usagef("no password in %s", name)
	case len(line) >= maxPassword:
		return "", usagef("the password in %s is longer than a password may be", name)
	case !utf8.ValidString(line): // it would reach the replica as another password
		return "", usagef("the password in %s is not UTF-8", name)
	}
	return line, nil
}

// ask returns a line that is typed without being shown. When a signal comes, the terminal shows what is typed again.
func ask(ctx context.Context, t *terminal, prompt string) (string, error) {
	fd := int(t.in.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return "", err
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, setTermios, &silent); err != nil {
		return "", err
	}
	defer unix.IoctlSetTermios(fd, setTermios, before)
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer release()

	fmt.Fprint(t.err, prompt)
	defer fmt.Fprintln(t.err)
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	// A read from a terminal can't be called off: after a signal this goroutine ends with the process.
	go func() {
		line, err := firstLine(t.in, "the terminal")
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		return a.line, a.err
	case <-ctx.Done():
		return "", errors.New("interrupted; nothing was changed")
	}
}
