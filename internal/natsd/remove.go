package natsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// ErrMember is what RemoveMember's error wraps when that server cannot be removed: it says why.
var ErrMember = errors.New("this member cannot be removed")

// removeWait bounds RemoveMember: nobody answers while there is no majority.
const (
	removeWait  = 15 * time.Second
	removeTry   = 3 * time.Second
	removePause = 100 * time.Millisecond
)

// peerID returns how Raft groups call the server with a name. A build fails when nats-server has another way.
//
//go:linkname peerID github.com/nats-io/nats-server/v2/server.getHash
func peerID(name string) string

// Members returns the names of the servers that count for the cluster's majority, sorted: also those that are away, by what stands for their
// name if this server has not met them. nil when it is in no cluster, or does not know.
func (s *Server) Members() []string {
	info, err := s.srv.Jsz(nil)
	if err != nil || info.Meta == nil {
		return nil
	}
	list := []string{s.name}
	if info.Meta.Leader != "" {
		list = append(list, info.Meta.Leader)
	}
	for _, r := range info.Meta.Replicas {
		list = append(list, r.Name)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// RemoveMember takes a server that is gone for good out of the cluster: it does not count for the majority any more, and its copies of the
// log and of what belongs to it go to servers that have none, now or when there is one. A majority has to be there. A server that is
// connected, or is no member, is an ErrMember. If it comes back, it is a new member, and its copies are thrown away.
func (s *Server) RemoveMember(ctx context.Context, name string) error {
	if !s.srv.JetStreamIsClustered() {
		return fmt.Errorf("%w: there is no cluster here", ErrMember)
	}
	routes, err := s.srv.Routez(nil)
	if err != nil {
		return fmt.Errorf("natsd: removing %s: %w", name, err)
	}
	connected := slices.ContainsFunc(routes.Routes, func(r *server.RouteInfo) bool { return r.RemoteName == name })
	if connected || name == s.name {
		return fmt.Errorf("%w: %s is there; stop it first", ErrMember, name)
	}
	ctx, cancel := context.WithTimeout(ctx, removeWait)
	defer cancel()
	nc, err := s.connect(ctx, s.users.admin, adminInbox(s.name))
	if err != nil {
		return err
	}
	defer nc.Close()
	for open := false; ; open = true { // what was asked before may have been done
		err := ask(ctx, nc, name)
		var api *server.ApiError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &api) && api.ErrCode == uint16(server.JSClusterServerNotMemberErr):
			if open {
				return nil
			}
			return fmt.Errorf("%w: %s is none; there are %s", ErrMember, name, strings.Join(s.Members(), ", "))
		case ctx.Err() != nil:
			return fmt.Errorf("natsd: removing %s: %w; is there a majority?", name, err)
		}
		select {
		case <-time.After(removePause):
		case <-ctx.Done():
		}
	}
}

// ask asks the leader, of which there may be none yet after the loss of the one before, to remove a server.
func ask(ctx context.Context, nc *nats.Conn, name string) error {
	ctx, cancel := context.WithTimeout(ctx, removeTry)
	defer cancel()
	return request(ctx, nc, askRemove, server.JSApiMetaServerRemoveRequest{Server: name, Peer: peerID(name)}, nil)
}
