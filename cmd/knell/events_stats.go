package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/knell-auth/knell/internal/trail"
)

// eventsStatsCmd counts events.
type eventsStatsCmd struct {
	sourceFlags `embed:""`
	filterFlags `embed:""`
	rangeFlags  `embed:""`
	Top         int  `default:"10" help:"How many reasons are shown."`
	JSON        bool `name:"json" help:"Print JSON."`
	Quiet       bool `short:"q" help:"Show no progress."`
}

// eventStats is what is counted.
type eventStats struct {
	Events int64            `json:"events"`
	Void   int64            `json:"void"`
	Bytes  int64            `json:"bytes"` // as NDJSON
	First  uint64           `json:"first_sequence"`
	Last   uint64           `json:"last_sequence"`
	From   *time.Time       `json:"first_time"` // the earliest, not that of the first
	To     *time.Time       `json:"last_time"`
	Types  map[string]int64 `json:"types"`
	Days   map[string]int64 `json:"days"` // UTC
	Voids  map[string]int64 `json:"void_reasons"`
	// Reasons are the texts that people gave, the most frequent ones.
	Reasons map[string]int64 `json:"reasons"`
}

// maxReasons bounds the texts that are counted: they are free, and there may be one for each event.
const maxReasons = 100_000

// Run counts the events of the range.
func (c *eventsStatsCmd) Run(ctx context.Context, t *terminal) error {
	ctx, release := untilSignal(ctx, nil, os.Interrupt, syscall.SIGTERM)
	defer release()
	st := eventStats{Types: map[string]int64{}, Days: map[string]int64{}, Voids: map[string]int64{}, Reasons: map[string]int64{}}
	bar := newProgressBar(t, c.Quiet)
	err := c.with(ctx, t, readPatience, func(client *trail.Client) error {
		s, err := c.find(ctx, client)
		if err != nil {
			return err
		}
		return s.read(ctx, client, c.query(), s.after, func(list []trail.Event, to uint64) error {
			bar.update(float64(to-s.after)/float64(max(1, s.upTo-s.after)), fmt.Sprintf("%d events", st.Events))
			for _, e := range list {
				if err := st.add(e); err != nil {
					return err
				}
			}
			return nil
		})
	})
	bar.clear()
	if err != nil {
		return err
	}
	for _, rare := range ranked(st.Reasons)[min(max(c.Top, 0), len(st.Reasons)):] {
		delete(st.Reasons, rare)
	}
	if c.JSON {
		return printJSON(t, st)
	}
	return st.print(t)
}

func (s *eventStats) add(event trail.Event) error {
	e, err := parseEvent(event.JSON)
	if err != nil {
		return err
	}
	if s.Events++; s.First == 0 {
		s.First = event.Seq
	}
	s.Last = event.Seq
	s.Bytes += int64(len(event.JSON)) + 1
	s.Types[e.Type]++
	at := e.Time.UTC()
	s.Days[at.Format(time.DateOnly)]++
	if s.From == nil || at.Before(*s.From) {
		s.From = &at
	}
	if s.To == nil || at.After(*s.To) {
		s.To = &at
	}
	if e.Void != "" {
		s.Void++
		s.Voids[e.Void]++
	}
	if _, known := s.Reasons[e.Reason]; e.Reason != "" && (known || len(s.Reasons) < maxReasons) {
		s.Reasons[e.Reason]++
	}
	return nil
}

// ranked returns the names by their counts, the greatest first.
func ranked(counts map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

// print writes the counts for people.
func (s *eventStats) print(t *terminal) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "events\t%d\nbytes\t%d\n", s.Events, s.Bytes)
	if s.Events > 0 {
		fmt.Fprintf(w, "sequences\t%d to %d\ntimes\t%s to %s\n", s.First, s.Last, s.From.Format(time.RFC3339), s.To.Format(time.RFC3339))
		fmt.Fprintf(w, "void\t%d (%s)\n", s.Void, share(s.Void, s.Events))
	}
	for _, part := range []struct {
		title  string
		counts map[string]int64
		order  func(map[string]int64) []string
	}{
		{"TYPE", s.Types, ranked},
		{"DAY (UTC)", s.Days, func(m map[string]int64) []string { return slices.Sorted(maps.Keys(m)) }},
		{"VOID BECAUSE", s.Voids, ranked},
		{"REASON", s.Reasons, ranked},
	} {
		if len(part.counts) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\tEVENTS\t\n", part.title)
		for _, name := range part.order(part.counts) {
			fmt.Fprintf(w, "%s\t%d\t%s\n", plain(name), part.counts[name], share(part.counts[name], s.Events))
		}
	}
	return w.Flush()
}

// share returns which part of all n is.
func share(n, all int64) string {
	return strconv.FormatFloat(100*float64(n)/float64(all), 'f', 1, 64) + " %"
}
