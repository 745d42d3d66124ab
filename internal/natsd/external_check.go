package natsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// check returns what is missing at the servers that nc leads to.
func (e *External) check(ctx context.Context, nc *nats.Conn) error {
	if nc.MaxPayload() < leastPayload {
		return fmt.Errorf("natsd: the NATS server takes messages of %d bytes only (max_payload): want %d or more",
			nc.MaxPayload(), leastPayload)
	}
	missing, err := notGranted(ctx, nc, needed(e.cfg.Name))
	if err != nil {
		return err
	}
	if missing != nil {
		return lacking(missing)
	}
	if missing, err = notGranted(ctx, nc, forSnapshots(e.cfg.Name)); err != nil {
		return err
	}
	if missing != nil {
		e.log.Warn("the NATS user lacks rights to snapshots: this replica makes and checks none, so that each start reads the whole log, "+
			"and nothing is trimmed, so that the log grows until it is full; see docs/external-nats.md", "rights", strings.Join(missing, "; "))
	}
	ctx, cancel := context.WithTimeout(ctx, externalTimeout) // a leader that has just died does not answer
	defer cancel()
	if err := request(ctx, nc, apiPrefix+"INFO", nil, nil); err != nil {
		return noJetStream(err)
	}
	for _, stream := range []string{StreamName, TileStream} {
		if err := checkCreate(ctx, nc, stream); err != nil {
			return err
		}
	}
	return nil
}

// checkCreate returns what is missing to have a stream: who may not create it has to find it there. Knowing that, the log need not wait
// for it in vain.
func checkCreate(ctx context.Context, nc *nats.Conn, stream string) error {
	err := request(ctx, nc, apiPrefix+"STREAM.INFO."+stream, nil, nil)
	var api *server.ApiError
	if !errors.As(err, &api) || api.ErrCode != uint16(server.JSStreamNotFoundErr) {
		return nil // it is there, or has no leader now, which whoever opens the log waits for
	}
	create := right{pattern: apiPrefix + "STREAM.CREATE." + stream}
	ok, err := create.granted(ctx, nc)
	if err != nil {
		return absentf("natsd: asking NATS for rights: %w", err)
	}
	if !ok {
		return lacking([]string{create.String() + " (there is no stream " + stream + " yet)"})
	}
	return nil
}

// notGranted returns which of these rights the user of nc does not have.
func notGranted(ctx context.Context, nc *nats.Conn, rights []right) (missing []string, err error) {
	for _, r := range rights {
		ok, err := r.granted(ctx, nc)
		if err != nil {
			return nil, absentf("natsd: asking NATS for rights: %w", err)
		}
		if !ok {
			missing = append(missing, r.String())
		}
	}
	return missing, nil
}

func lacking(rights []string) error {
	return fmt.Errorf("natsd: the NATS user lacks rights, see docs/external-nats.md: %s", strings.Join(rights, "; "))
}

// noJetStream says why JetStream's first answer was none.
func noJetStream(err error) error {
	var api *server.ApiError
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("natsd: JetStream is off at the NATS server, or for the account of this user: %w", err)
	case errors.As(err, &api) && slices.Contains([]uint16{
		uint16(server.JSNotEnabledErr), uint16(server.JSNotEnabledForAccountErr),
	}, api.ErrCode):
		return fmt.Errorf("natsd: JetStream is off at the NATS server, or for the account of this user: %w", err)
	}
	return absentf("natsd: JetStream does not answer, or has no leader: %w", err)
}

// right is the right to publish to a subject, or to subscribe to it.
type right struct {
	pattern   string // as rights are written down
	sample    string // one of these subjects; "": pattern is one itself
	subscribe bool
}

// String returns the right as in "publish to x".
func (r right) String() string {
	if r.subscribe {
		return "subscribe to " + r.pattern
	}
	return "publish to " + r.pattern
}

// needed returns the rights without which a replica cannot go on, a selection of replicaRights.
func needed(name string) []right {
	consumer := apiPrefix + "CONSUMER."
	return []right{
		{pattern: "knell.event.>", sample: "knell.event.revoked.session"},
		{pattern: "knell.event.>", sample: "knell.event.session.0"},
		{pattern: "knell.secret.>", sample: "knell.secret.0"},
		{pattern: "knell.node." + name},
		{pattern: "knell.report.*." + name, sample: "knell.report." + nobody + "." + name},
		{pattern: "knell.tile.>", sample: "knell.tile.probe"},
		{pattern: apiPrefix + "INFO"},
		{pattern: askStreamInfo},
		{pattern: apiPrefix + "STREAM.INFO." + TileStream},
		{pattern: apiPrefix + "STREAM.MSG.GET." + TileStream},
		{pattern: consumer + "CREATE." + StreamName + ".>", sample: consumer + "CREATE." + StreamName + ".probe"},
		{pattern: consumer + "MSG.NEXT." + StreamName + ".*", sample: consumer + "MSG.NEXT." + StreamName + ".probe"},
		{pattern: consumer + "DELETE." + StreamName + ".*", sample: consumer + "DELETE." + StreamName + ".probe"},
		{pattern: inboxPrefix(name) + ".>", subscribe: true},
		{pattern: "knell.live.>", subscribe: true},
		{pattern: "knell.report." + name + ".*", subscribe: true},
	}
}

// forSnapshots returns the rights without which a replica goes on, but has no snapshots. Those to purge are not tried out.
func forSnapshots(name string) []right {
	direct := apiPrefix + "DIRECT.GET." + snapshotStreamName + "."
	return []right{
		{pattern: "knell.snapshot.*." + name + ".*", sample: "knell.snapshot.0." + name + ".probe"},
		{pattern: apiPrefix + "STREAM.INFO." + snapshotStreamName},
		{pattern: direct + ">", sample: direct + "probe"},
	}
}

// nobody is the name of no replica (see namePattern). What is told to one that runs, it hears, also if the sender is a probe of its name.
const nobody = "_"

// noStream is the name of no stream. A message that expects to be stored in it is stored nowhere.
const noStream = "none"

// granted tries the right out. What it publishes is empty, expected in another stream and without a reply: it has no effect.
// The server's refusal comes before its answer to the flush.
func (r right) granted(ctx context.Context, nc *nats.Conn) (bool, error) {
	subject := r.pattern
	if r.sample != "" {
		subject = r.sample
	}
	if r.subscribe {
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			return false, err
		}
		defer sub.Unsubscribe() // fails when the server refused it
	} else if err := nc.PublishMsg(&nats.Msg{Subject: subject, Header: nats.Header{server.JSExpectedStream: []string{noStream}}}); err != nil {
		return false, err
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return false, err
	}
	err := nc.LastError()
	return !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), `"`+subject+`"`), nil
}
