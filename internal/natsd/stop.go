package natsd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// What servers say when they were elected: the first in the system account, the second in the stream's.
const (
	metaElected   = server.JSAdvisoryDomainLeaderElected
	streamElected = server.JSAdvisoryStreamLeaderElectedPre + "." + StreamName
)

// Requests that leaders answer: in the stream's account, in the stream's, and in the system account.
const (
	askStreamInfo = "$JS.API.STREAM.INFO." + StreamName
	askStreamMove = "$JS.API.STREAM.LEADER.STEPDOWN." + StreamName
	askMetaMove   = server.JSApiLeaderStepDown
	askRemove     = server.JSApiRemoveServer
)

// handOverWait bounds the wait for successors. Elections that follow a hand-over take some 20 ms; when there is nobody to
// take over, a server that stops must not wait for long.
const handOverWait = 2 * time.Second

// Stop hands the leadership of the stream and of JetStream over to other servers, waits until they have it, and shuts the
// server down. It returns when the server has ended and its directory is free, or with ctx's error while that still goes
// on. Further calls wait likewise. Connections made by Connect are for their owners to close.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() {
		go s.end(func() {
			if err := s.handOver(ctx); err != nil {
				s.log.Warnf("leadership was not handed over: %v", err)
			}
		}, func() {})
	})
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("natsd: still shutting down: %w", context.Cause(ctx))
	}
}

// Kill ends the server without a hand-over, as the other servers would see a crash: its Raft groups fall silent. It is
// meant for tests. It returns when the server has ended and its directory is free.
func (s *Server) Kill() {
	s.stopOnce.Do(func() { go s.end(func() { shutdownRaftNodes(s.srv) }, func() {}) })
	<-s.stopped
}

// shutdownRaftNodes stops the server's Raft groups where they are. Shutdown would hand over what it leads first, and has
// no option that says otherwise.
//
//go:linkname shutdownRaftNodes github.com/nats-io/nats-server/v2/server.(*Server).shutdownRaftNodes
func shutdownRaftNodes(*server.Server)

// end calls first, shuts the server down, calls last and frees the directory.
func (s *Server) end(first, last func()) {
	defer close(s.stopped)
	first()
	s.log.ending.Store(true)
	close(s.ending)
	s.watching.Wait()
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	last()
	s.lock.Close()
}

// handOver makes other servers the leaders of what this one leads, and returns when they are. nats-server's own Shutdown
// asks for the same, but closes its connections without waiting, and picks any live successor: one that still catches up
// can't be elected, and then appends wait for a whole election timeout. Its lame duck mode also waits for fixed times.
func (s *Server) handOver(ctx context.Context) error {
	if !s.srv.JetStreamIsClustered() || s.srv.NumRoutes() == 0 {
		return nil // nobody is there
	}
	meta, stream := s.srv.JetStreamIsLeader(), s.srv.JetStreamIsStreamLeader(Account, StreamName)
	if !meta && !stream {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handOverWait)
	defer cancel()
	account, err := s.connect(ctx, s.users.keeper, adminInbox(s.name))
	if err != nil {
		return err
	}
	defer account.Close()
	system, err := s.connect(ctx, s.users.admin, adminInbox(s.name))
	if err != nil {
		return err
	}
	defer system.Close()

	var info streamInfo
	if err := request(ctx, account, askStreamInfo, nil, &info); err != nil && stream {
		return fmt.Errorf("asking for a successor: %w", err)
	}
	to := info.successor(s.name)
	var errs []error
	if stream { // first, because it is what appends wait for
		errs = append(errs, moveLeader(ctx, account, askStreamMove, streamElected, to))
	}
	if meta {
		errs = append(errs, moveLeader(ctx, system, askMetaMove, metaElected, to))
	}
	return errors.Join(errs...)
}

// streamInfo is the part of JetStream's answer that says who could lead the stream.
type streamInfo struct {
	Cluster struct {
		Leader   string `json:"leader"`
		Replicas []struct {
			Name    string `json:"name"`
			Offline bool   `json:"offline"`
			Lag     uint64 `json:"lag"`
		} `json:"replicas"`
	} `json:"cluster"`
}

// successor returns the name of the server, other than self, that leads or can lead at once, "" when none is known. What
// is committed is on a majority, so one of the replicas has no lag, unless too few are there.
func (i *streamInfo) successor(self string) string {
	if i.Cluster.Leader != self {
		return i.Cluster.Leader
	}
	var name string
	var lag uint64
	for _, r := range i.Cluster.Replicas {
		if !r.Offline && (name == "" || r.Lag < lag) {
			name, lag = r.Name, r.Lag
		}
	}
	return name
}

// moveLeader asks a leader to step down in favour of the server named to, and waits until somebody says that it was
// elected.
func moveLeader(ctx context.Context, nc *nats.Conn, ask, elected, to string) error {
	var req server.JSApiLeaderStepdownRequest
	if to != "" {
		req.Placement = &server.Placement{Preferred: to}
	}
	sub, err := nc.SubscribeSync(elected)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	// Flushed by the request. If the successor hears of the subscription too late, this wait ends by ctx and the hand-over
	// has happened all the same.
	if err := request(ctx, nc, ask, req, nil); err != nil {
		return fmt.Errorf("%s: %w", ask, err)
	}
	if _, err := sub.NextMsgWithContext(ctx); err != nil {
		return fmt.Errorf("%s: nobody was elected: %w", ask, err)
	}
	return nil
}

// request asks the JetStream API and decodes the answer into v, which may be nil.
func request(ctx context.Context, nc *nats.Conn, subject string, body, v any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	m, err := nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return err
	}
	var resp server.ApiResponse
	if err := json.Unmarshal(m.Data, &resp); err != nil {
		return err
	}
	if resp.Error != nil {
		return resp.Error
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(m.Data, v)
}
