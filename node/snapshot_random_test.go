package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/token"
)

// author writes random events of every type that the fold knows, most of which take effect.
type author struct {
	*rand.Rand
	s     *state
	epoch events.ID
	seq   uint64
	now   int64 // Unix seconds
	ids   int
	lives []events.ID
	sent  []*events.Event // lately, to be repeated
}

func newAuthor(seed uint64) *author {
	a := &author{Rand: rand.New(rand.NewPCG(seed, 7)), s: newState(), epoch: testID("epoch"), now: 1_800_000_000}
	a.lives = []events.ID{testID("life 1"), testID("life 2"), testID("life 3")}
	a.apply(a.event(&events.LogStarted{HashKey: make([]byte, 32)}))
	for i := range a.lives {
		a.apply(a.joined(i))
		a.apply(a.event(a.key(i)))
	}
	return a
}

func (a *author) event(d events.Payload) *events.Event {
	a.ids++
	e := &events.Event{ID: testID(fmt.Sprint("event ", a.ids)), Epoch: a.epoch, Time: time.Unix(a.now, a.Int64N(1e9)).UTC(), Node: a.node(), Data: d,
		Actor: "system", UserAgent: fmt.Sprint("agent ", a.IntN(4)), Reason: fmt.Sprint("reason ", a.IntN(3))}
	switch a.IntN(3) {
	case 0:
		e.Address = fmt.Sprintf("192.0.2.%d", a.IntN(9))
	case 1:
		e.Address = fmt.Sprintf("2001:db8::%d:1", a.IntN(9))
	}
	if u := pick(a, a.s.users); u != nil && a.IntN(2) == 0 {
		e.Actor = u.id.String()
	}
	return e
}

func (a *author) node() string { return fmt.Sprint("n", 1+a.IntN(3)) }

// joined is the event of a new life of one of the replicas.
func (a *author) joined(i int) *events.Event {
	e := a.event(&events.NodeJoined{Incarnation: a.lives[i], Level: 1 + a.Uint32N(2), Issuer: "i", Audience: "a", Version: fmt.Sprint("v", a.IntN(3))})
	e.Node = fmt.Sprint("n", i+1)
	return e
}

func (a *author) key(i int) *events.NodeKey {
	seed := testID(fmt.Sprint("seed ", i, a.IntN(3)))
	access, err := token.NewSigner(token.EdDSA, append(seed[:], seed[:]...))
	if err != nil {
		panic(err)
	}
	return &events.NodeKey{Key: access.Key().ID(), Alg: token.EdDSA, Public: access.Key().Public(),
		RefreshPublic: append(seed[:], seed[:]...), Incarnation: a.lives[i]}
}

// apply applies e and whatever else is given it.
func (a *author) apply(e *events.Event, others ...*state) {
	a.seq++
	data, err := events.Encode(nil, e)
	if err != nil {
		panic(err)
	}
	m := &events.Message{Seq: a.seq, Subject: events.Subject(e), Data: data}
	out := a.s.applyMessage(m, e)
	for _, s := range others {
		if other := s.applyMessage(m, e); other != out {
			panic(fmt.Sprintf("%T at %d: %v, and %v with a state from a snapshot", e.Data, a.seq, out, other))
		}
	}
}

// next returns a random event.
func (a *author) next() *events.Event {
	if n := len(a.sent); n > 0 && a.IntN(30) == 0 {
		return a.sent[a.IntN(n)]
	}
	var d events.Payload
	for d == nil {
		switch a.IntN(8) {
		case 0:
			return a.replica()
		case 1:
			d = a.account()
		case 2:
			d = a.oauth()
		case 3:
			d = a.access()
		case 4:
			d = a.attempt()
		case 5:
			d = a.owed()
		default:
			d = a.session()
		}
	}
	e := a.event(d)
	if a.sent = append(a.sent, e); len(a.sent) > 20 {
		a.sent = a.sent[1:]
	}
	return e
}

// pick returns a random value of a map, the same in each run; zero if there is none.
func pick[K comparable, V any](a *author, m map[K]V) (v V) {
	keys := make([]string, 0, len(m))
	byText := map[string]K{}
	for k := range m {
		text := fmt.Sprint(k)
		keys, byText[text] = append(keys, text), k
	}
	if len(keys) == 0 {
		return v
	}
	slices.Sort(keys)
	return m[byText[keys[a.IntN(len(keys))]]]
}

// at returns a sequence, mostly unchanged.
func (a *author) at(seq uint64) uint64 {
	if a.IntN(12) == 0 {
		return seq + 1
	}
	return seq
}

func (a *author) text(what string) string { return fmt.Sprint(what, " ", a.IntN(6)) }

func (a *author) words() []string {
	all := strings.Fields("profile notes jobs audit")
	return all[:1+a.IntN(len(all))]
}

func (a *author) id(what string) events.ID { return testID(fmt.Sprint(what, a.IntN(1<<20))) }

func (a *author) replica() *events.Event {
	i := a.IntN(3)
	switch a.IntN(16) {
	case 0:
		old := a.lives[i]
		a.lives[i] = a.id("life")
		e := a.joined(i)
		if a.IntN(2) == 0 {
			e.Data.(*events.NodeJoined).Replaces = old
		}
		return e
	case 1:
		e := a.event(a.key(i))
		e.Node = fmt.Sprint("n", i+1)
		return e
	case 2:
		if k := pick(a, a.s.keys); k != nil && a.IntN(3) == 0 {
			return a.event(&events.SigningKeyRevoked{Key: k.id})
		}
		return a.event(&events.NodeLeft{Incarnation: a.id("nobody")})
	case 3:
		return a.event(&events.LevelRaised{Level: 2})
	case 4, 5:
		hash := testID(fmt.Sprint("hash ", a.seq/50))
		e := a.event(&events.NodeSnapshot{Snapshot: a.seq / 50 * 50, Hash: append(hash[:], hash[:]...), Format: 1, Incarnation: a.lives[i]})
		e.Node = fmt.Sprint("n", i+1)
		return e
	case 6:
		return a.event(&events.NodeTrimmed{First: a.Uint64N(a.seq)})
	}
	a.now += a.Int64N(40)
	if a.IntN(200) == 0 {
		a.now += a.Int64N(7200)
	}
	return a.event(&events.NodeBeat{Pings: []events.Ping{{Node: fmt.Sprint("n", i+1), Incarnation: a.lives[i], Level: 2, LeaseMillis: 5000}}})
}

func (a *author) account() events.Payload {
	u := pick(a, a.s.users)
	if u == nil || a.IntN(8) == 0 {
		return &events.SecretUser{User: a.id("user"), Name: a.text("name"), Hash: a.text("hash"), Roles: a.words(), Scope: a.words(),
			Email: a.text("mail"), FullName: a.text("full"), Disabled: a.IntN(4) == 0, First: a.IntN(4) == 0}
	}
	var except events.ID
	if u.head != nil && a.IntN(2) == 0 {
		except = u.head.id
	}
	switch a.IntN(7) {
	case 0:
		return &events.SecretPassword{User: u.id, Hash: a.text("hash"), UserSeq: a.at(u.seq), Except: except}
	case 1:
		return &events.SecretRehash{User: u.id, Hash: a.text("hash"), UserSeq: a.at(u.credSeq)}
	case 2:
		return &events.SecretProfile{User: u.id, Name: a.text("name"), Email: a.text("mail"), FullName: a.text("full"), UserSeq: a.at(u.seq)}
	case 3:
		cause := []string{"", "", "", "disabled", "deleted"}[a.IntN(5)]
		return &events.UserRevoked{User: u.id, Cause: cause, UserSeq: a.at(u.seq), Except: except}
	case 4, 5:
		return &events.UserEnabled{User: u.id, UserSeq: a.at(u.seq)}
	}
	return &events.UserRolesChanged{User: u.id, Roles: a.words(), Scope: a.words(), UserSeq: a.at(u.seq)}
}

func (a *author) oauth() events.Payload {
	c, u := pick(a, a.s.clients), pick(a, a.s.users)
	if c == nil || a.IntN(8) == 0 {
		return &events.SecretClient{Client: a.text("client"), Name: a.text("name"), Hash: a.text("hash"), Scope: a.words(), Redirects: a.words()}
	}
	switch a.IntN(8) {
	case 0:
		return &events.SecretClientSecret{Client: c.id, Hash: a.text("hash"), OldExpires: a.now, ClientSeq: a.at(c.seq)}
	case 1:
		return &events.ClientChanged{Client: c.id, Name: a.text("name"), Scope: a.words(), Redirects: a.words(), ClientSeq: a.at(c.seq)}
	case 2:
		return &events.ClientEnabled{Client: c.id, ClientSeq: a.at(c.seq)}
	case 3:
		cause := []string{"", "disabled", "deleted"}[a.IntN(3)]
		return &events.ClientRevoked{Client: c.id, Cause: cause, ClientSeq: a.at(c.seq)}
	}
	if u == nil {
		return nil
	}
	return &events.CodeIssued{Code: a.id("code"), User: u.id, Client: c.id, Scope: a.words(), IssuedAt: a.now, Expires: a.now + 60,
		UserSeq: a.at(u.seq), ClientSeq: a.at(c.seq)}
}

func (a *author) access() events.Payload {
	k, u := pick(a, a.s.access.keys), pick(a, a.s.users)
	digest := make([]byte, 32)
	digest[a.IntN(32)] = byte(a.IntN(256))
	switch a.IntN(6) {
	case 0:
		name := a.text("role")
		if a.IntN(2) == 0 {
			name = "profile" // as a role of users, see words
		}
		var seq uint64
		if r := a.s.access.roles[name]; r != nil {
			seq = r.seq
		}
		return &events.RoleScopes{Role: name, Scope: a.words(), RoleSeq: a.at(seq)}
	case 1, 2:
		if u != nil {
			return &events.SecretAPIKey{Key: a.id("key"), User: u.id, Name: a.text("name"), Scope: a.words(), Digest: digest,
				Expires: a.Int64N(2) * (a.now + 100), UserSeq: a.at(u.seq)}
		}
	}
	if k == nil {
		return nil
	}
	switch a.IntN(3) {
	case 0:
		return &events.SecretAPIKeyRotated{Key: k.id, User: k.user.id, Digest: digest, OldExpires: a.now + 100, KeySeq: a.at(k.seq)}
	case 1:
		return &events.APIKeyRevoked{Key: k.id}
	}
	return &events.APIKeyUsed{Key: k.id, User: k.user.id, UsedAt: a.now}
}

func (a *author) attempt() events.Payload {
	var user, name events.ID
	if u := pick(a, a.s.users); u != nil && a.IntN(2) == 0 {
		user = u.id
	} else {
		name = testID(a.text("unknown"))
	}
	if a.IntN(4) == 0 {
		return &events.AttemptsForgiven{User: user, NameHash: name, Everywhere: a.IntN(2) == 0}
	}
	return &events.AttemptStarted{User: user, NameHash: name, Free: 1 + a.Uint32N(3), MaxDelay: 900}
}

// owed is a public record.
func (a *author) owed() events.Payload {
	if r := pick(a, a.s.records); a.IntN(3) > 0 {
		return r.data
	}
	return nil
}

// code returns one of the codes.
func (a *author) code() (events.ID, *code) {
	k := pick(a, a.s.codes)
	for id, other := range a.s.codes {
		if other == k {
			return id, k
		}
	}
	return events.ID{}, nil
}

func (a *author) session() events.Payload {
	u, ses, c := pick(a, a.s.users), pick(a, a.s.sessions), pick(a, a.s.clients)
	ttl := 60 + a.Int64N(300)
	if ses == nil || a.IntN(3) == 0 {
		if u == nil {
			return nil
		}
		d := &events.SessionStarted{Session: a.id("session"), User: u.id, Scope: a.words(), IssuedAt: a.now, AccessExpires: a.now + ttl,
			IdleExpires: a.now + 3*ttl, Expires: a.now + 86400, UserSeq: a.at(u.seq), AuthTime: a.now - a.Int64N(9), Remember: a.IntN(4) == 0}
		if id, k := a.code(); k != nil && a.IntN(2) == 0 {
			d.Code, d.User, d.Client, d.UserSeq, d.ClientSeq = id, k.user.id, k.client.id, k.user.seq, k.client.seq
		}
		if c != nil && d.Client == "" && a.IntN(3) == 0 {
			d.Client, d.ClientSeq = c.id, a.at(c.seq)
		}
		return d
	}
	if a.IntN(400) == 0 {
		return &events.AllRevoked{}
	}
	kid := ""
	if k := pick(a, a.s.keys); k != nil {
		kid = k.id
	}
	switch a.IntN(6) {
	case 0:
		if c == nil {
			return nil
		}
		return &events.ClientToken{Session: a.id("token"), Client: c.id, Scope: a.words(), IssuedAt: a.now, AccessExpires: a.now + ttl, ClientSeq: a.at(c.seq)}
	case 1:
		return &events.SessionRevoked{Session: ses.id}
	case 2:
		return &events.RefreshReplayed{Session: ses.id, Generation: ses.generation, SessionSeq: a.at(ses.seq), Key: kid}
	}
	d := &events.SessionRefreshed{Session: ses.id, Generation: ses.generation + 1, IssuedAt: a.now, AccessExpires: a.now + ttl,
		IdleExpires: a.now + 3*ttl, SessionSeq: a.at(ses.seq), Key: kid}
	if ses.user != nil {
		d.UserSeq = ses.user.seq
	}
	if ses.client != nil {
		d.ClientSeq = ses.client.seq
	}
	return d
}
