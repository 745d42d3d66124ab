package check

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/knell-auth/knell/cluster-test/history"
)

// logs is the log of a scenario as each of three replicas has it.
type logs struct {
	written bool
	all3    [3]history.Log
	ends    [3]bool
}

// add understands the commands "log", "end", and "trimmed", which says that the log was read behind a sequence: what it has up to there was
// got before.
func (l *logs) add(words []string) error {
	l.written = true
	at := []int{0, 1, 2}
	if strings.HasPrefix(words[1], "r") {
		at = []int{int(replica(words[1]))}
		words = words[1:]
	}
	seq, err := strconv.ParseUint(words[1], 10, 64)
	if err != nil {
		return err
	}
	for _, i := range at {
		if words[0] == "trimmed" {
			l.all3[i].After = seq
			continue
		}
		if words[0] == "end" || len(words) == 2 || strings.Contains(words[2], "=") {
			err = l.end(i, seq, words[2:])
		} else {
			err = l.event(&l.all3[i], seq, words[2:], len(at) == 1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *logs) event(to *history.Log, seq uint64, words []string, instead bool) error {
	e := history.Event{Seq: seq, ID: strconv.FormatUint(seq, 10), Type: words[0]}
	h := fnv.New128a()
	for _, w := range words[1:] {
		switch key, value, named := strings.Cut(w, "="); {
		case !named:
			e.Session = w
		case key == "gen":
			e.Generation = number(value)
		case key == "u":
			e.User = value
		case key == "void":
			e.Void = value
		case key == "bytes":
			fmt.Fprint(h, value)
		default:
			return fmt.Errorf("what is %q", w)
		}
	}
	fmt.Fprint(h, e.ID, e.Type, e.Session, e.User, e.Generation)
	e.Sum = [16]byte(h.Sum(nil))
	if instead {
		to.Events = slices.DeleteFunc(to.Events, func(other history.Event) bool { return other.Seq == seq })
	}
	if words[0] != "nothing" {
		to.Events = append(to.Events, e)
	}
	return nil
}

func (l *logs) end(i int, seq uint64, words []string) error {
	log := &l.all3[i]
	l.ends[i] = true
	log.Last, log.Digest, log.Withheld = seq, "d", seq-uint64(len(log.Events))
	for _, w := range words {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "digest":
			log.Digest = value
		case "applied":
			log.Applied = value
		case "withheld":
			log.Withheld = uint64(number(value))
		default:
			return fmt.Errorf("what is %q", w)
		}
	}
	return nil
}

// all returns the logs, none when the scenario has none.
func (l *logs) all() []*history.Log {
	if !l.written {
		return nil
	}
	var all []*history.Log
	for i := range l.all3 {
		log := &l.all3[i]
		log.Replica = int8(i)
		slices.SortStableFunc(log.Events, func(a, b history.Event) int { return cmp.Compare(a.Seq, b.Seq) })
		if last := len(log.Events); !l.ends[i] {
			if last > 0 {
				log.Last = log.Events[last-1].Seq
			}
			log.Digest, log.Withheld = "d", log.Last-uint64(last)
		}
		if log.After > 0 {
			n, _ := slices.BinarySearchFunc(log.Events, log.After+1, func(e history.Event, seq uint64) int { return cmp.Compare(e.Seq, seq) })
			log.Before, log.Events = log.Events[:n:n], log.Events[n:]
			if !l.ends[i] {
				log.Withheld = log.Last - log.After - uint64(len(log.Events))
			}
		}
		all = append(all, log)
	}
	return all
}
