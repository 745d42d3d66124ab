package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/knell-auth/knell/cluster-test/redisd"
)

// Rows that requirements are about.
const (
	oneToken   = "`/verify`, one token"
	manyTokens = "`/verify`, many tokens in turn"
	introspect = "`/introspect`, one token"
)

// row is one line of the table: a load upon a service, measured in pairs with a load upon the empty handler.
type row struct {
	name    string
	load    load
	pids    []int
	base    *row     // the empty handler, under the same requests; nil: this is one
	samples []sample // one a round
	bases   []sample // of base, one a round
}

// sample is what one slice of a load has measured.
type sample struct {
	rate     float64       // answers a second
	cpu      time.Duration // of the services, for an answer
	p50, p99 time.Duration
}

// measure adds a sample of r and one of its base, in an order that changes with each round.
func (r *row) measure(ctx context.Context, s settings, round int) error {
	if r.base == nil {
		sample, err := r.once(ctx, s)
		r.samples = append(r.samples, sample)
		return err
	}
	first, second := &r.bases, &r.samples
	firstOf, secondOf := r.base, r
	if round%2 == 1 {
		first, second, firstOf, secondOf = second, first, secondOf, firstOf
	}
	a, err := firstOf.once(ctx, s)
	if err != nil {
		return err
	}
	b, err := secondOf.once(ctx, s)
	*first, *second = append(*first, a), append(*second, b)
	return err
}

// warm sends every request once, over one connection: credentials are verified for the first time here, and a password costs a hash.
func (r *row) warm(ctx context.Context, s settings) (err error) {
	c, err := connect(ctx, r.load, 1, s.loadCPU)
	if err != nil {
		return err
	}
	for i := 1; i < len(r.load.requests) && err == nil; i++ {
		_, _, err = c.drive(ctx, 0)
	}
	return errors.Join(err, c.close())
}

func (r *row) once(ctx context.Context, s settings) (out sample, err error) {
	c, err := connect(ctx, r.load, s.conns, s.loadCPU)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	before, err := usedBy(r.pids)
	if err != nil {
		return sample{}, err
	}
	latencies, took, err := c.drive(ctx, s.slice)
	if err != nil {
		return sample{}, err
	}
	after, err := usedBy(r.pids)
	if err != nil {
		return sample{}, err
	}
	n := len(latencies)
	return sample{
		rate: float64(n) / took.Seconds(), cpu: (after - before) / time.Duration(n),
		p50: quantile(latencies, 0.50), p99: quantile(latencies, 0.99),
	}, nil
}

// summary is how samples become one number.
type summary struct {
	// shared says that the machine has other work: then the best slices count, in which that was in the way least, and throughput is
	// what the processor time of a request allows for, since nobody knows what part of the processor a service had.
	shared bool
}

// throughput is what requirements are about.
func (y summary) throughput() quantity {
	if y.shared {
		return quantity{func(s sample) float64 { return float64(time.Second) / float64(s.cpu) }, true}
	}
	return rate
}

// of returns the median of something about samples, or the best of it: the highest rate, the lowest of the rest.
func (y summary) of(samples []sample, what quantity) float64 {
	list := make([]float64, len(samples))
	for i, s := range samples {
		list[i] = what.of(s)
	}
	switch {
	case !y.shared:
		return median(list)
	case what.more:
		return slices.Max(list)
	}
	return slices.Min(list)
}

// ratio returns the median of the ratios between samples and those that were measured beside them, or the ratio of the best.
func (y summary) ratio(samples, beside []sample, what quantity) float64 {
	if y.shared {
		return y.of(samples, what) / y.of(beside, what)
	}
	list := make([]float64, len(samples))
	for i := range list {
		list[i] = what.of(samples[i]) / what.of(beside[i])
	}
	return median(list)
}

// quantity is something about a sample. With more, more of it is better.
type quantity struct {
	of   func(sample) float64
	more bool
}

var (
	rate = quantity{func(s sample) float64 { return s.rate }, true}
	cpu  = quantity{func(s sample) float64 { return float64(s.cpu) }, false}
	p50  = quantity{func(s sample) float64 { return float64(s.p50) }, false}
	p99  = quantity{func(s sample) float64 { return float64(s.p99) }, false}
)

// rows starts the services and returns the rows of the table.
func (f *fleet) rows(s settings) ([]*row, error) {
	none, err := f.start(service{Kind: empty}, f.cpu)
	if err != nil {
		return nil, err
	}
	knell, known, err := f.startReplica(service{Tokens: s.tokens}, f.cpu)
	if err != nil {
		return nil, err
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(known.User+":"+known.Password))
	asked := "Basic " + base64.StdEncoding.EncodeToString([]byte(known.Client+":"+known.Secret))
	active := []byte(`{"active":true,`)
	one, own := bearers(known.Token), server{known.Service, knell.pids}
	inTurn := bearers(known.Tokens...)

	baseGet := &row{name: "empty chi handler", load: load{none.addr, one, nil}, pids: none.pids}
	basePost := &row{name: "empty chi handler, POST", load: load{none.addr, questions(asked, known.Token), nil}, pids: none.pids}
	baseTurn := &row{name: "empty chi handler, many tokens in turn", load: load{none.addr, inTurn, nil}, pids: none.pids}
	rows := []*row{
		baseGet, baseTurn, basePost,
		{name: oneToken, load: load{knell.addr, one, nil}, pids: knell.pids, base: baseGet},
		{name: manyTokens, load: load{knell.addr, inTurn, nil}, pids: knell.pids, base: baseTurn},
		{name: "`/verify`, API key", load: load{knell.addr, bearers(known.Key), nil}, pids: knell.pids, base: baseGet},
		{name: "`/verify`, user name and password", load: load{knell.addr, gets(basic), nil}, pids: knell.pids, base: baseGet},
		{name: "middleware in a Go service", load: load{own.addr, one, nil}, pids: own.pids, base: baseGet},
		{name: introspect, load: load{knell.addr, questions(asked, known.Token), active}, pids: knell.pids, base: basePost},
		{name: "`/introspect`, many tokens in turn", load: load{knell.addr, questions(asked, known.Tokens...), active}, pids: knell.pids, base: basePost},
	}
	peers, err := f.peers(known, baseGet)
	return append(rows, peers...), err
}

// peers starts what Knell is compared with. Without a redis-server it leaves out what needs one.
func (f *fleet) peers(known *facts, base *row) ([]*row, error) {
	secret, opaque := rand.Text(), rand.Text()+rand.Text()
	resigned, err := resign(known.Token, []byte(secret))
	if err != nil {
		return nil, err
	}
	kinds := []string{jwtEdDSA, jwtHS256}
	switch err := f.startRedis(); {
	case err == nil:
		kinds = append(kinds, jwtEdDSA+withRedis, jwtHS256+withRedis, redisAlone)
	case !errors.Is(err, redisd.ErrMissing):
		return nil, err
	}
	var rows []*row
	for _, kind := range kinds {
		s := service{Kind: kind, Issuer: known.Issuer, JWKS: known.JWKS, Secret: []byte(secret), Opaque: opaque}
		token := known.Token
		switch kind {
		case jwtHS256, jwtHS256 + withRedis:
			token = resigned
		case redisAlone:
			token = opaque
		}
		if kind != jwtEdDSA && kind != jwtHS256 {
			s.Redis = f.store.Addr
		}
		peer, err := f.start(s, f.cpu)
		if err != nil {
			return nil, err
		}
		rows = append(rows, &row{name: kind, load: load{peer.addr, bearers(token), nil}, pids: peer.pids, base: base})
	}
	return rows, nil
}

// gets returns a GET of /verify for each Authorization.
func gets(authorizations ...string) [][]byte {
	list := make([][]byte, len(authorizations))
	for i, a := range authorizations {
		list[i] = fmt.Appendf(nil, "GET /verify HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: %s\r\n\r\n", a)
	}
	return list
}

func bearers(tokens ...string) [][]byte {
	list := make([]string, len(tokens))
	for i, t := range tokens {
		list[i] = "Bearer " + t
	}
	return gets(list...)
}

// questions returns a POST of /introspect for each token.
func questions(authorization string, tokens ...string) [][]byte {
	list := make([][]byte, len(tokens))
	for i, t := range tokens {
		list[i] = fmt.Appendf(nil, "POST /introspect HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: %s\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\ntoken=%s", authorization, len("token=")+len(t), t)
	}
	return list
}
