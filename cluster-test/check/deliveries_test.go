package check

import (
	"fmt"
	"strings"
	"testing"
)

func TestDeliveries(t *testing.T) {
	at := func(seqs ...uint64) (list []Delivery) {
		for _, s := range seqs {
			list = append(list, Delivery{Seq: s, ID: fmt.Sprint("id-", s)})
		}
		return list
	}
	truth := at(3, 5, 6, 9)
	for name, c := range map[string]struct {
		got   []Delivery
		wrong string
		again int
	}{
		"as it is":                  {at(3, 5, 6, 9), "", 0},
		"again from a while before": {at(3, 5, 6, 3, 5, 6, 9, 9), "", 4},
		"two at once":               {at(3, 5, 5, 6, 6, 9), "", 2},
		"more than is judged":       {at(3, 5, 6, 9, 12, 10), "", 0},
		"a gap":                     {at(3, 6, 9), "event 6 came before 5", 0},
		"in another order":          {at(3, 6, 5, 9), "event 6 came before 5", 1},
		"a gap at the beginning":    {at(5, 6, 9), "event 5 came before 3", 0},
		"not to the end":            {at(3, 5), "2 events never came, from 6 on", 0},
		"nothing":                   {nil, "4 events never came", 0},
		"one that is none":          {at(3, 4, 5, 6, 9), "event 4 is none", 0},
		"again with another id":     {append(at(3, 5), Delivery{5, "other", ""}, Delivery{6, "id-6", ""}, Delivery{9, "id-9", ""}), "event 5 came as", 0},
		"void here and not there":   {append(at(3, 5, 6), Delivery{9, "id-9", "noop"}), "event 9 came as", 0},
	} {
		wrong, again := Deliveries(truth, c.got)
		if text := strings.Join(wrong, "; "); again != c.again || (c.wrong == "") != (text == "") || !strings.Contains(text, c.wrong) {
			t.Errorf("%s: %q, %d again; want %q, %d", name, text, again, c.wrong, c.again)
		}
	}
}
