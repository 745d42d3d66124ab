package httpapi

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// TestRecordingOfEveryOperation: whatever is done, an address and a user agent that are not to be recorded are in no message, secret
// ones and replicas' own included, and in no log line; and what is recorded instead is in each event that had them.
func TestRecordingOfEveryOperation(t *testing.T) {
	const address, agent = "192.0.2.1", personMark + "-browser"
	before := map[string][]string{} // types of events with them, when they are recorded as they are
	for _, rec := range []node.Recording{
		{Address: node.RecordPlain, Agent: node.RecordPlain}, {Address: node.RecordTruncated, Agent: node.RecordPlain},
		{Address: node.RecordHashed, Agent: node.RecordHashed}, {Address: node.RecordNone, Agent: node.RecordNone},
	} {
		t.Run(fmt.Sprint(rec), func(t *testing.T) {
			w := newAppWorld(t, func(c *node.Config) { c.Recording = rec })
			o := &everyOperation{world: w, t: t, done: map[string]bool{}}
			o.drive()
			kinds, said := map[string]map[string]bool{"address": {}, "agent": {}}, map[string]map[string]bool{"address": {}, "agent": {}}
			texts := []string{w.logged.String()}
			for _, m := range w.log.Messages() {
				var e events.Event
				if err := events.Decode(m.Data, &e); err != nil {
					t.Fatal(err)
				}
				texts = append(texts, string(m.Data))
				for what, text := range map[string]string{"address": e.Address, "agent": e.UserAgent} {
					if text != "" {
						kinds[what][string(e.Data.Type())], said[what][text] = true, true
					}
				}
			}
			for what, form := range map[string]string{"address": rec.Address, "agent": rec.Agent} {
				types := sortedKeys(kinds[what])
				if before[what] == nil {
					before[what] = types
				}
				if form != node.RecordNone && (len(types) < 20 || !slices.Equal(types, before[what])) {
					t.Errorf("events with an %s, %s: %v, otherwise %v", what, form, types, before[what])
				}
				is := map[string]func(string) bool{
					node.RecordPlain:     func(s string) bool { return s == address || s == agent },
					node.RecordTruncated: func(s string) bool { _, err := netip.ParsePrefix(s); return err == nil },
					node.RecordHashed:    func(s string) bool { return strings.HasPrefix(s, "hash:") },
					node.RecordNone:      func(string) bool { return false },
				}[form]
				if list := sortedKeys(said[what]); slices.ContainsFunc(list, func(s string) bool { return !is(s) }) || len(list) > 1 {
					t.Errorf("%s, %s: %q", what, form, list)
				}
				if form != node.RecordPlain {
					contain(t, texts, map[string]string{"address": address, "agent": agent}[what])
				}
			}
			status := call(w.handler, "GET", "/status", "").Body.String()
			if want := fmt.Sprintf(`"record":{"address":%q,"agent":%q}`, rec.Address, rec.Agent); !strings.Contains(status, want) {
				t.Errorf("%s is not in %s", want, status)
			}
		})
	}
}

func sortedKeys(set map[string]bool) (list []string) {
	for k := range set {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}
