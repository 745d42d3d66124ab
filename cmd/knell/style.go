package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// style writes to people: with colours when out is a terminal.
type style struct {
	out    io.Writer
	colour bool
}

// newStyle returns a style for out. It honours NO_COLOR (no-color.org) and terminals that can't.
func newStyle(out io.Writer) *style {
	f, ok := out.(*os.File)
	colour := ok && isTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return &style{out: out, colour: colour}
}

// Escape sequences (ECMA-48 SGR).
const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
)

// paint returns text in a colour.
func (s *style) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// printf writes formatted text. That nobody reads it is no error here.
func (s *style) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// title writes a heading.
func (s *style) title(text string) { s.printf("\n%s\n", s.paint(bold, text)) }

// round returns d with three digits or so, as a person reads it.
func round(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}
