package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
)

// userImportCmd creates users that come from elsewhere.
type userImportCmd struct {
	dataFlags `embed:""`
	File      string `arg:"" help:"File with one user a line in JSON, or - for standard input."`
	DryRun    bool   `help:"Check every line, and create nobody."`
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

// Run sends the file and prints the lines that were refused, and how many were not. Users whose names are taken are no
// failure: an import that broke off is repeated with the same file.
func (c *userImportCmd) Run(ctx context.Context, t *terminal) error {
	var file io.Reader = t.in
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		file = f
	}
	return c.with(ctx, t, openIt, func(a *admin) error {
		path := "/users/import"
		done := "created"
		if c.DryRun {
			path += "?dry_run=true"
			done = "could be created"
		}
		end, err := a.importUsers(ctx, path, file, func(l importLine) {
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
	return name + ": "
}

// importUsers sends lines to the replica while it answers the ones before, and returns its last line.
func (a *admin) importUsers(ctx context.Context, path string, lines io.Reader, each func(importLine)) (importLine, error) {
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
