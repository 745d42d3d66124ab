package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/knell-auth/knell/internal/export"
	"github.com/knell-auth/knell/internal/trail"
)

// readPatience is for how long a command that reads a range asks again.
const readPatience = 2 * time.Minute

// eventsExportCmd writes events to a file.
type eventsExportCmd struct {
	sourceFlags `embed:""`
	filterFlags `embed:""`
	rangeFlags  `embed:""`
	Out         string `short:"o" required:"" type:"path" placeholder:"FILE" help:"The file. It gets its name when it is whole; one that was broken off goes on when the same command is given again."`
	Format      string `enum:"ndjson,parquet" default:"ndjson" help:"ndjson, one CloudEvent a line, or parquet."`
	Sealed      bool   `help:"With the hashes of events that nobody may read, in their places: what knell events verify takes. For NDJSON, without filters."`
	Restart     bool   `help:"Throw away what an export that was broken off has written."`
	Quiet       bool   `short:"q" help:"Show no progress."`
}

// Run writes the file, or goes on with it.
func (c *eventsExportCmd) Run(ctx context.Context, t *terminal) error {
	if c.Sealed && (c.Format != string(export.NDJSON) || len(c.filterFlags.query()) > 0) {
		return usagef("--sealed is for NDJSON without filters: what is left out could not be verified")
	}
	if c.Restart {
		if err := export.Discard(c.Out); err != nil {
			return err
		}
	}
	return c.with(ctx, t, readPatience, func(client *trail.Client) error {
		ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
		defer release()
		var s span
		f, err := export.Open(c.Out, export.Format(c.Format), c.asked(), func() (p export.Plan, err error) {
			if s, err = c.find(ctx, client); err == nil && c.Sealed && !(s.since.IsZero() && s.before.IsZero()) {
				err = usagef("--sealed: --from and --to have to be sequences")
			}
			return export.Plan{Epoch: s.epoch, After: s.after, UpTo: s.upTo, Since: s.since, Before: s.before}, err
		})
		switch {
		case errors.Is(err, fs.ErrExist):
			return usagef("--out %s: it is there already; remove it, or name another file", c.Out)
		case errors.Is(err, export.ErrOther):
			return usagef("%w; give the same flags as then, or --restart", err)
		case err != nil:
			return err
		}
		return c.fill(ctx, t, client, f)
	})
}

// asked says what the flags ask for, so that nobody goes on with something else.
func (c *eventsExportCmd) asked() string {
	q := c.query()
	for name, value := range map[string]string{"from": c.From, "to": c.To} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q.Encode()
}

// query returns the parameters of what is asked for.
func (c *eventsExportCmd) query() url.Values {
	q := c.filterFlags.query()
	if c.Sealed {
		q.Set("sealed", "true")
	}
	return q
}

// fill reads what the file lacks, and finishes it.
func (c *eventsExportCmd) fill(ctx context.Context, t *terminal, client *trail.Client, f *export.File) error {
	bar := newProgressBar(t, c.Quiet)
	defer bar.clear()
	p := f.Plan
	if f.Events() > 0 {
		fmt.Fprintf(t.err, "knell: going on behind event %d, the last of %d\n", f.At(), f.Events())
	}
	s := span{upTo: p.UpTo, since: p.Since, before: p.Before}
	err := s.read(ctx, client, c.query(), f.At(), func(list []trail.Event, to uint64) error {
		lines := make([][]byte, 0, len(list))
		for _, e := range list {
			lines = append(lines, e.JSON)
		}
		bar.update(float64(to-p.After)/float64(max(1, p.UpTo-p.After)), fmt.Sprintf("%d events, %s", f.Events(), bytesText(f.Size())))
		return f.Append(lines)
	})
	if err != nil {
		if e := f.Close(); e != nil {
			return errors.Join(err, e)
		}
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("%w; the same command goes on behind event %d", err, f.At())
	}
	events, size := f.Events(), f.Size()
	if err := f.Finish(func(share float64) { bar.update(share, "writing "+c.Format) }); err != nil {
		return err
	}
	bar.clear()
	_, err = fmt.Fprintf(t.err, "knell: %d events, %s as NDJSON, sequences %d to %d\n", events, bytesText(size), p.After+1, p.UpTo)
	return err
}

// progressBar shows a person on a terminal how far a command has come. Its methods do nothing where nobody looks.
type progressBar struct {
	out   io.Writer // nil: nobody looks
	began time.Time
	last  time.Time
}

func newProgressBar(t *terminal, quiet bool) *progressBar {
	b := &progressBar{began: time.Now()}
	if f, ok := t.err.(*os.File); ok && !quiet && isTerminal(f) && os.Getenv("TERM") != "dumb" {
		b.out = f
	}
	return b
}

const barWidth = 30

// update shows which share of the work is done, and what.
func (b *progressBar) update(share float64, what string) {
	if b.out == nil || time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last = time.Now()
	share = min(max(share, 0), 1)
	left := ""
	if took := time.Since(b.began); share > 0.01 && took > time.Second {
		left = fmt.Sprintf(", %v left", time.Duration(float64(took)*(1-share)/share).Round(time.Second))
	}
	full := int(share * barWidth)
	fmt.Fprintf(b.out, "%s[%s%s] %3.0f %%  %s%s", clearLine, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*share, what, left)
}

// count shows how much was done of what has no known size.
func (b *progressBar) count(what string) {
	if b.out == nil || time.Since(b.last) < 100*time.Millisecond {
		return
	}
	b.last = time.Now()
	fmt.Fprint(b.out, clearLine, what)
}

// clear takes it away.
func (b *progressBar) clear() {
	if b.out != nil && !b.last.IsZero() {
		io.WriteString(b.out, clearLine)
		b.last = time.Time{}
	}
}

// bytesText returns a number of bytes as a person reads it.
func bytesText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for ; v >= unit; i++ {
		v /= unit
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTPE"[i])
}
