package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a pseudo-terminal: what a person holds and what a program gets.
func openTerminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	t.Cleanup(func() { person.Close() })
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// TestPromptInterrupted: what is typed is shown again when a key ends the command at the prompt, and nothing else is printed.
func TestPromptInterrupted(t *testing.T) {
	for name, key := range map[string]string{"Ctrl-C": "\x03", "Ctrl-\\": "\x1c"} {
		t.Run(name, func(t *testing.T) {
			person, program := openTerminal(t)
			cmd := knell(t, "user", "add", "alice")
			cmd.Dir = t.TempDir()
			cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, program
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			program.Close() // so that the end of knell is the end of what can be read
			var seen bytes.Buffer
			for until := "Password for alice: "; ; until = "nothing was changed" {
				for piece := make([]byte, 256); !strings.Contains(seen.String(), until); {
					n, err := person.Read(piece)
					if err != nil {
						t.Fatalf("%v after %q", err, &seen)
					}
					seen.Write(piece[:n])
				}
				if until == "nothing was changed" {
					break
				}
				if _, err := person.WriteString(key); err != nil {
					t.Fatal(err)
				}
			}
			if cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed {
				t.Errorf("exit %d", cmd.ProcessState.ExitCode())
			}
			modes, err := unix.IoctlGetTermios(int(person.Fd()), getTermios)
			if err != nil || modes.Lflag&unix.ECHO == 0 {
				t.Errorf("what is typed stays hidden: %v", err)
			}
			if strings.Contains(seen.String(), "goroutine") {
				t.Errorf("printed %s", &seen)
			}
		})
	}
}
