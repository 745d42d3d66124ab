package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"unicode"
)

// userImportCmd creates users that come from elsewhere.
type userImportCmd struct {
	dataFlags `embed:""`
	File      string `arg:"" help:"File with one user a line in JSON, or - for standard input."`
	DryRun    bool   `help:"Check every line, and create nobody."`
}

// Run imports users.
func (c *userImportCmd) Run(ctx context.Context, t *terminal) error {
	return importFile(ctx, t, &c.dataFlags, "/users/import", c.File, c.DryRun)
}

// clientImportCmd creates clients that come from elsewhere.
type clientImportCmd struct {
	dataFlags `embed:""`
	File      string `arg:"" help:"File with one client a line in JSON, as POST /clients takes it: id, name, hash or secret, scopes, redirect_uris; - for standard input."`
	DryRun    bool   `help:"Check every line, and create no client."`
}

// Run imports clients.
func (c *clientImportCmd) Run(ctx context.Context, t *terminal) error {
	return importFile(ctx, t, &c.dataFlags, "/clients/import", c.File, c.DryRun)
}

// importLine is one line of the replica's answer: what came of a line of the file, or the end.
type importLine struct {
	Line   int    `json:"line"`
	Name   string `json:"name"`
	Status string `json:"status"`
	Error  string `json:"error"`
	End    *struct {
		Created int `json:"created"`
		Exists  int `json:"exists"`
		Errors  int `json:"errors"`
	} `json:"end"`
}

// importFile sends a file and prints the lines that were refused, and how many were not. Names that are taken are no failure: an
// import that broke off is repeated with the same file.
func importFile(ctx context.Context, t *terminal, data *dataFlags, path, name string, dryRun bool) error {
	var file io.Reader = t.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		file = f
	}
	done := "created"
	if dryRun {
		path += "?dry_run=true"
		done = "could be created"
	}
	return data.with(ctx, t, openIt, func(a *admin) error {
		end, err := a.importLines(ctx, path, file, func(l importLine) {
			if l.Status == "error" {
				fmt.Fprintf(t.err, "line %d: %s%s\n", l.Line, prefixed(l.Name), l.Error)
			}
		})
		if err != nil {
			return err
		}
		n := end.End
		_, err = fmt.Fprintf(t.out, "%d %s, %d exist already, %d refused\n", n.Created, done, n.Exists, n.Errors)
		if err == nil && n.Errors > 0 {
			return exitCode(exitFailed)
		}
		return err
	})
}

// prefixed returns a name to be followed by what is wrong with it.
func prefixed(name string) string {
	if name == "" {
		return ""
	}
	if strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) { // a client's, that was refused
		name = strconv.Quote(name)
	}
	return name + ": "
}

// importLines sends lines to the replica while it answers the ones before, and returns its last line.
func (a *admin) importLines(ctx context.Context, path string, lines io.Reader, each func(importLine)) (importLine, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, io.NopCloser(lines))
	if err != nil {
		return importLine{}, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := a.client.Do(req)
	if err != nil {
		return importLine{}, fmt.Errorf("asking the replica: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return importLine{}, fmt.Errorf("the replica broke off: %w", err)
		}
		return importLine{}, refusal(resp, answer)
	}
	for dec := json.NewDecoder(resp.Body); ; {
		var l importLine
		err := dec.Decode(&l)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return importLine{}, errors.New("the replica broke off: not everything was imported; repeat it with the same file")
		case err != nil:
			return importLine{}, fmt.Errorf("the replica broke off: %w", err)
		case l.End != nil:
			return l, nil
		}
		each(l)
	}
}
