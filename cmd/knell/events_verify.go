package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"unicode"
	"unicode/utf16"

	"golang.org/x/mod/sumdb/note"

	"github.com/knell-auth/knell/internal/audit"
)

// eventsProofCmds prove what is in the log. The first three need nothing but files.
type eventsProofCmds struct {
	Verify        eventsVerifyCmd        `cmd:"" help:"Check an export against a signed checkpoint, offline: whether something was changed, removed, reordered or cut off, or the log forked."`
	VerifyProof   eventsVerifyProofCmd   `cmd:"" help:"Check, offline, the proof that an event is in the log."`
	VerifyReceipt eventsVerifyReceiptCmd `cmd:"" help:"Check, offline, the receipt of a logout or another revocation."`
	Key           eventsKeyCmd           `cmd:"" help:"Print the key that checkpoints and receipts are verified with."`
	Checkpoint    eventsCheckpointCmd    `cmd:"" help:"Print the signed head of the log's Merkle tree."`
	Hashes        eventsHashesCmd        `cmd:"" help:"Write the hashes of all leaves up to a checkpoint to a file, by which verify finds the one that is wrong."`
}

// Exit codes of what verifies.
const (
	exitTampered = 3 // changed, removed, reordered or truncated
	exitForked   = 4 // the key has signed what excludes each other
	exitUnsigned = 5 // not by this key, or of another log
	exitUnproven = 6 // nothing is wrong as far as can be seen, and something cannot be seen
)

// verdict prints what is wrong, and returns the exit code for it.
func verdict(t *terminal, err error) error {
	code := exitCode(0)
	for _, row := range []struct {
		code exitCode
		errs []error
	}{
		{exitTampered, []error{audit.ErrChanged, audit.ErrRemoved, audit.ErrOrder, audit.ErrTruncated}},
		{exitForked, []error{audit.ErrForked}},
		{exitUnsigned, []error{audit.ErrSigned, audit.ErrForeign}},
		{exitUnproven, []error{audit.ErrUnknown}},
	} {
		for _, e := range row.errs {
			if errors.Is(err, e) {
				code = row.code
			}
		}
	}
	if code == 0 {
		return err
	}
	fmt.Fprintln(t.err, "knell:", err)
	return code
}

// verifierFlags say by which key something is verified.
type verifierFlags struct {
	Key string `required:"" placeholder:"KEY" help:"The key of the log, as knell events key prints it, or a file that has it."`
}

func (f *verifierFlags) verifier() (note.Verifier, error) {
	text := f.Key
	if b, err := os.ReadFile(f.Key); err == nil {
		text = strings.TrimSpace(string(b))
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, usagef("--key: neither a key (name+hash+base64) nor a file that has one")
	}
	return v, nil
}

type eventsVerifyCmd struct {
	verifierFlags `embed:""`
	Export        string `arg:"" optional:"" placeholder:"EXPORT" help:"NDJSON, as events export --sealed writes it; - is standard input. Without it only checkpoints are compared."`
	Checkpoint    string `required:"" type:"path" placeholder:"FILE" help:"The signed checkpoint that the export has to lead to."`
	Earlier       string `type:"path" placeholder:"FILE" help:"A checkpoint from before, which the log must still have."`
	Consistency   string `type:"path" placeholder:"FILE" help:"Proof that the log has grown from the earlier checkpoint to this one (GET /transparency/consistency)."`
	Range         string `type:"path" placeholder:"FILE" help:"What stands for the leaves before an export that does not begin with the first one (GET /transparency/range)."`
	Hashes        string `type:"path" placeholder:"FILE" help:"Hashes of all leaves (knell events hashes): with them the leaf is named that is wrong."`
}

// Run checks, and says what was found to be right.
func (c *eventsVerifyCmd) Run(t *terminal) error {
	key, err := c.verifier()
	if err != nil {
		return err
	}
	l := audit.Log{Key: key}
	for _, f := range []struct {
		flag, name string
		to         *[]byte
	}{
		{"checkpoint", c.Checkpoint, &l.Checkpoint}, {"earlier", c.Earlier, &l.Earlier}, {"consistency", c.Consistency, &l.Growth},
		{"range", c.Range, &l.Front}, {"hashes", c.Hashes, &l.Hashes},
	} {
		if f.name == "" {
			continue
		}
		if *f.to, err = os.ReadFile(f.name); err != nil {
			return usagef("--%s: %w", f.flag, err)
		}
	}
	switch c.Export {
	case "":
	case "-":
		l.Export = t.in
	default:
		f, err := os.Open(c.Export)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		l.Export = f
	}
	r, err := audit.Check(l)
	if err != nil {
		err = verdict(t, err)
		if errors.Is(err, exitCode(exitTampered)) && l.Export != nil {
			c.advise(t, &r)
		}
		return err
	}
	fmt.Fprintf(t.out, "verified: %s\nroot %s of %d leaves\n", plain(key.Name()), r.Root, r.Size)
	if r.Leaves > 0 {
		fmt.Fprintf(t.out, "export: %d leaves, sequences %d to %d, %d of them sealed\n", r.Leaves-r.Beyond, r.First, r.Last, r.Sealed)
	}
	if r.Beyond > 0 {
		fmt.Fprintf(t.out, "not verified: the last %d leaves are newer than the checkpoint\n", r.Beyond)
	}
	return nil
}

// advise says on standard error how to find out more of what is wrong.
func (c *eventsVerifyCmd) advise(t *terminal, r *audit.Result) {
	switch {
	case r.Leaves > 0 && r.Sealed == 0 && c.Range == "":
		fmt.Fprintln(t.err, "knell: no line of the export is sealed: if it was made without --sealed, that is why; make it anew (knell events export --sealed)")
	case c.Hashes == "":
		fmt.Fprintln(t.err, "knell: --hashes FILE says which leaf it is (knell events hashes makes the file)")
	}
}

type eventsVerifyProofCmd struct {
	verifierFlags `embed:""`
	Proof         string `arg:"" type:"path" help:"The proof, as GET /events/{sequence}/proof gives it."`
	Event         string `type:"path" placeholder:"FILE" help:"The event, a line of GET /events. Default: the one in the proof."`
}

// Run checks, and prints the event.
func (c *eventsVerifyProofCmd) Run(t *terminal) error {
	key, err := c.verifier()
	if err != nil {
		return err
	}
	proof, err := os.ReadFile(c.Proof)
	if err != nil {
		return usageError{err}
	}
	var event []byte
	if c.Event != "" {
		if event, err = os.ReadFile(c.Event); err != nil {
			return usagef("--event: %w", err)
		}
		event = []byte(strings.TrimSpace(string(event)))
	}
	i, err := audit.CheckProof(key, proof, event)
	if err != nil {
		return verdict(t, err)
	}
	_, err = fmt.Fprintf(t.out, "verified: leaf %d of %d in %s\n%s\n", i.Index, i.Size, plain(key.Name()), harmless(i.Event))
	return err
}

type eventsVerifyReceiptCmd struct {
	verifierFlags `embed:""`
	Receipt       string `arg:"" help:"The receipt: the JSON of an answer to Prefer: return=representation; - is standard input."`
}

// Run checks, and prints what the receipt says.
func (c *eventsVerifyReceiptCmd) Run(t *terminal) error {
	key, err := c.verifier()
	if err != nil {
		return err
	}
	in := io.Reader(t.in)
	if c.Receipt != "-" {
		f, err := os.Open(c.Receipt)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		in = f
	}
	var receipt struct{ Proof, Statement string }
	if err := json.NewDecoder(in).Decode(&receipt); err != nil {
		return usagef("%s: not a receipt: %w", c.Receipt, err)
	}
	r, err := audit.CheckReceipt(key, []byte(receipt.Proof), []byte(receipt.Statement))
	if err != nil {
		return verdict(t, err)
	}
	fmt.Fprintf(t.out, "verified: leaf %d of %d in %s\n%s\n", r.Index, r.Size, plain(key.Name()), harmless(r.Event))
	for _, f := range r.Replicas {
		fmt.Fprintf(t.out, "replica %s (%s): %s\n", plain(f.Name), plain(f.Incarnation), plain(f.How))
	}
	return nil
}

// harmless returns JSON that means the same and can do nothing to a terminal: whoever wrote the file may have put there what moves the
// cursor or turns text around.
func harmless(json []byte) string {
	var b strings.Builder
	for _, r := range string(json) {
		switch {
		case unicode.IsGraphic(r) || r == '\n':
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

type eventsKeyCmd struct {
	dataFlags `embed:""`
}

// Run prints the key.
func (c *eventsKeyCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, openIt, func(a *admin) error { return copyFrom(ctx, a, "/transparency/key", t.out) })
}

type eventsCheckpointCmd struct {
	dataFlags `embed:""`
}

// Run prints the checkpoint.
func (c *eventsCheckpointCmd) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, openIt, func(a *admin) error { return copyFrom(ctx, a, "/transparency/checkpoint", t.out) })
}

// copyFrom writes what a path answers.
func copyFrom(ctx context.Context, a *admin, path string, to io.Writer) error {
	b, err := a.get(ctx, path)
	if err == nil {
		_, err = to.Write(b)
	}
	return err
}

// get returns what a path answers, whatever it is.
func (a *admin) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the replica: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the replica broke off: %w", err)
	}
	if resp.StatusCode >= 300 {
		return nil, refusal(resp, b)
	}
	return b, nil
}
