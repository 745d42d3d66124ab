package node

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"unique"
	"unsafe"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/limit"
)

// observed is what a state shows beside what is in its snapshot: all that is derived, and all that is left to other packages.
type observed struct {
	Names    []string
	Lists    map[events.ID][]events.ID // of each user's sessions
	Words    []bool
	Access   []bool
	Keys     []string
	Signers  map[string]string
	Refresh  int
	Filed    map[events.ID]bool // every session is filed, in time
	Revoked  map[events.ID]uint64
	Past     []voidReason
	Before   []uint64
	Waits    []limit.Entry
	Remember []bool
}

func observe(s *state, ids []events.ID) observed {
	o := observed{Lists: map[events.ID][]events.ID{}, Signers: map[string]string{}, Filed: map[events.ID]bool{}, Revoked: map[events.ID]uint64{}}
	o.Names = slices.Sorted(maps.Keys(s.names))
	for _, u := range s.users {
		if s.names[u.name] != u {
			panic("a user who has no name")
		}
		for ses := u.head; ses != nil; ses = ses.next {
			if o.Lists[u.id] = append(o.Lists[u.id], ses.id); ses.next != nil && ses.next.prev != ses || s.sessions[ses.id] != ses {
				panic("a list is broken")
			}
		}
		if len(o.Lists[u.id]) != u.count {
			panic("a list is not as long as it says")
		}
		for _, k := range u.keys {
			if k.user != u || s.access.keys[k.id] != k {
				panic("a key has another owner")
			}
			o.Keys = append(o.Keys, k.id.String())
		}
	}
	slices.Sort(o.Keys)
	if len(s.access.keys) != len(o.Keys) {
		panic("a key has no owner")
	}
	for i := range s.freeWord.next {
		o.Words = append(o.Words, s.words.Live(i))
	}
	for i := range s.access.flags {
		o.Access = append(o.Access, s.access.live.Live(i))
	}
	for node, k := range s.signers {
		o.Signers[node] = k.id
	}
	o.Refresh = len(s.refresh)
	for minute, list := range s.expiry {
		for _, id := range list {
			if ses := s.sessions[id]; ses != nil && minute <= max(sessionMinute(ses), s.swept) {
				o.Filed[id] = true
			}
		}
	}
	for _, e := range s.revoked.Entries(s.logTime / 1e9) {
		o.Revoked[e.ID] = e.Seq
	}
	for seq := s.first; seq <= s.seq; seq++ {
		o.Past = append(o.Past, s.past.void(seq))
	}
	for t := s.logTime/1e9 - 4*3600; t < s.logTime/1e9+120; t += 30 {
		o.Before = append(o.Before, s.past.before(t))
	}
	o.Waits = s.guesses.Entries()
	for _, id := range ids {
		o.Remember = append(o.Remember, s.seen.knows(id))
	}
	return o
}

// reload returns the state of s's snapshot, of which the same snapshot can be made again.
func reload(t *testing.T, s *state) *state {
	t.Helper()
	data, hash, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	again, read, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if other, _, err := again.encode(); err != nil || hash != read || !bytes.Equal(data, other) {
		t.Fatalf("at %d the snapshot of a snapshot is another one: %v", s.seq, err)
	}
	return again
}

// A replica that starts from a snapshot and reads on has the state of one that has read everything, whatever came before and after. Seed 7 has a
// refresh that ends its session earlier than it was filed.
func TestSnapshotAndTailIsReplay(t *testing.T) {
	for seed := range uint64(12) {
		if testing.Short() && seed%7 > 0 {
			continue
		}
		a := newAuthor(seed)
		var ids []events.ID
		var loaded []*state
		for range 4 {
			for range 700 {
				e := a.next()
				ids = append(ids, e.ID)
				a.apply(e, loaded...)
			}
			for _, s := range loaded {
				reload(t, s)
				want, _, _ := a.s.encode()
				if got, _, _ := s.encode(); !bytes.Equal(got, want) {
					t.Errorf("seed %d: a state from a snapshot is another one at %d", seed, a.seq)
				}
				if got, want := observe(s, ids), observe(a.s, ids); !reflect.DeepEqual(got, want) {
					t.Errorf("seed %d: at %d\n got %+v\nwant %+v", seed, a.seq, got, want)
				}
			}
			loaded = append(loaded, reload(t, a.s))
		}
		if seed == 0 {
			t.Logf("%d users, %d sessions, %d clients, %d codes, %d keys, %d records, %d checks, first %d", len(a.s.users), len(a.s.sessions),
				len(a.s.clients), len(a.s.codes), len(a.s.access.keys), len(a.s.records), len(a.s.checks), a.s.first)
		}
	}
}

// unwritten are the fields that are not in a snapshot, because they follow from what is, or mean nothing between two messages. What
// they are after a start is in observed.
var unwritten = []string{
	"state.names", "state.words", "state.touched", "user.head", "user.count", "session.prev", "session.next", "apiKey.user", "apiKey.noted",
	"leafTree.stored", "leafTree.waiting", "leafTree.hand", "leafTree.text", "leafTree.ahead", "leafTree.unbound",
	"access.keys", "access.live", "agenda.expiry", "keyring.refresh", "wordPool.dead",
	// Tables of other packages, which have tests of their own: TestEntries, TestSetEntries.
	"state.guesses", "state.revoked",
	// Written as what they are made of: TestSnapshotAndTailIsReplay would find them changed.
	"signingKey.verify", "signingKey.refreshPublic", "record.origin", "record.data",
}

// Whoever adds a field to the state and forgets it in snapshots is told here: each field is changed, and the bytes have to change.
func TestSnapshotHasEveryField(t *testing.T) {
	a := newAuthor(3)
	for range 4000 {
		a.apply(a.next())
	}
	for len(a.s.records) == 0 || len(a.s.codes) == 0 || len(a.s.access.keys) == 0 || len(a.s.checks) == 0 || len(a.s.freeWord.free) == 0 ||
		len(a.s.seen.before) == 0 || len(a.s.past.voids) == 0 || len(a.s.sessions) == 0 {
		a.apply(a.next())
	}
	a.s.access.grants["siem"] = &grant{name: "siem", key: "key", flag: a.s.newFlag(true)}
	a.s.hooks["siem"] = &hook{name: "siem", types: []string{"revoked"}, key: []byte("key"), oldKey: []byte("old"), progress: events.HookProgress{Webhook: "siem"}}
	w := &fieldWalk{t: t, s: a.s, done: map[string]bool{}}
	w.before, _, _ = a.s.encode()
	w.walk(reflect.ValueOf(a.s).Elem())
	for _, name := range []string{"user.pace", "session.device", "client.redirects", "code.session", "apiKey.usedAt", "role.scope", "signingKey.used",
		"member.issuer", "hook.claim", "grant.after", "HookProgress.Error",
		"record.logTime", "snapshotCheck.nodes", "freeWord.release", "idMemory.since", "past.minutes", "leafTree.starts", "Tree.size", "device.agent"} {
		if !w.done[name] {
			t.Errorf("%s was not looked at", name)
		}
	}
}

// fieldWalk changes each field of each type once.
type fieldWalk struct {
	t      *testing.T
	s      *state
	before []byte
	done   map[string]bool
}

// walk looks at the fields of an addressable struct, and at what they lead to.
func (w *fieldWalk) walk(v reflect.Value) {
	typ := v.Type()
	for i := range typ.NumField() {
		f := reflect.NewAt(typ.Field(i).Type, unsafe.Pointer(v.Field(i).UnsafeAddr())).Elem()
		if typ.Field(i).Anonymous {
			w.walk(f)
			continue
		}
		name := typ.Name() + "." + typ.Field(i).Name
		if w.done[name] || slices.Contains(unwritten, name) {
			continue
		}
		w.done[name] = true
		w.field(name, f)
		if k := f.Kind(); (k == reflect.Slice || k == reflect.Map) && f.Len() == 0 {
			delete(w.done, name) // there may be one with something in it
		}
	}
}

func (w *fieldWalk) field(name string, f reflect.Value) {
	switch {
	case f.Type() == reflect.TypeFor[unique.Handle[string]]():
		w.change(name, f, reflect.ValueOf(unique.Make("another one")))
	case f.Kind() == reflect.Struct:
		w.walk(f)
	case f.Kind() == reflect.Pointer:
		w.change(name, f, reflect.New(f.Type().Elem()))
	case f.Kind() == reflect.Map:
		w.container(name, f)
	case f.Kind() == reflect.Slice:
		if f.Len() == 0 {
			one := reflect.MakeSlice(f.Type(), 1, 1)
			if e := one.Index(0); e.Kind() == reflect.Pointer {
				e.Set(reflect.New(e.Type().Elem()))
			}
			w.change(name, f, one)
			return
		}
		w.change(name, f, f.Slice(0, f.Len()-1))
		w.inside(f.Index(0))
	default:
		w.change(name, f, other(f))
	}
}

// container leaves one entry of a map out, and looks into the entries.
func (w *fieldWalk) container(name string, f reflect.Value) {
	less := reflect.MakeMap(f.Type())
	for i, k := range f.MapKeys() {
		v := f.MapIndex(k)
		if i > 0 {
			less.SetMapIndex(k, v)
		}
		if v.Kind() == reflect.Pointer {
			w.inside(v)
			continue
		}
		if v.Kind() != reflect.Struct || v.NumField() == 0 {
			continue
		}
		// Not addressable: a map that has changed copies takes its place.
		for j := range v.NumField() {
			field := v.Type().Name() + "." + v.Type().Field(j).Name
			if w.done[field] || slices.Contains(unwritten, field) {
				continue
			}
			w.done[field] = true
			c := reflect.New(v.Type()).Elem()
			c.Set(v)
			p := reflect.NewAt(c.Field(j).Type(), unsafe.Pointer(c.Field(j).UnsafeAddr())).Elem()
			p.Set(other(p))
			changed := reflect.MakeMap(f.Type())
			for _, k2 := range f.MapKeys() {
				changed.SetMapIndex(k2, f.MapIndex(k2))
			}
			changed.SetMapIndex(k, c)
			w.change(field, f, changed)
		}
	}
	if f.Len() > 0 {
		w.change(name, f, less)
	}
}

func (w *fieldWalk) inside(v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct && v.Type().PkgPath() == reflect.TypeFor[state]().PkgPath() {
		w.walk(v)
	}
}

// change sets a field to another value for a moment.
func (w *fieldWalk) change(name string, f, to reflect.Value) {
	old := reflect.New(f.Type()).Elem()
	old.Set(f)
	f.Set(to)
	after, _, err := w.s.encode()
	f.Set(old)
	if err != nil || bytes.Equal(after, w.before) {
		w.t.Errorf("%s is not in snapshots, and not among what follows from them (%v)", name, err)
	}
}

// other returns another value of a field's type.
func other(f reflect.Value) reflect.Value {
	v := reflect.New(f.Type()).Elem()
	v.Set(f)
	switch f.Kind() {
	case reflect.Bool:
		v.SetBool(!f.Bool())
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(f.Int() + 1)
	case reflect.Uint64, reflect.Uint32, reflect.Uint8:
		v.SetUint(f.Uint() + 1)
	case reflect.String:
		v.SetString(f.String() + "x")
	case reflect.Array:
		v.Index(f.Len() - 1).Set(other(v.Index(f.Len() - 1)))
	default:
		panic(fmt.Sprintf("another %v", f.Type()))
	}
	return v
}

// Damage is found, wherever it is, and breaks nothing.
func TestDamagedSnapshot(t *testing.T) {
	a := newAuthor(5)
	for range 1500 {
		a.apply(a.next())
	}
	whole, _, err := a.s.encode()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 3000 {
		bad := bytes.Clone(whole)
		switch i % 3 {
		case 0:
			bad = bad[:r.IntN(len(bad))]
		case 1:
			bad = append(bad, bad[r.IntN(len(bad)):]...)
		default:
			for range 1 + r.IntN(4) {
				bad[r.IntN(len(bad))] ^= byte(1 + r.IntN(255))
			}
		}
		if bytes.Equal(bad, whole) {
			continue
		}
		if _, _, err := decode(bad); !errors.Is(err, errSnapshot) {
			t.Fatalf("damage %d: %v", i, err)
		}
	}
	for _, bad := range [][]byte{nil, []byte("knell state "), bytes.Repeat([]byte{0xff}, 100)} {
		if _, _, err := decode(bad); !errors.Is(err, errSnapshot) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
