package node

import (
	"context"
	"fmt"

	"github.com/knell-auth/knell/internal/password"
)

// NormalName returns the form under which a login name is kept: two names are one user's if it is the same. ErrBadRequest.
func NormalName(name string) (string, error) { return normalName(name) }

// CheckUser returns why CreateUser would refuse nu, as far as this replica knows, or nil. It hashes nothing and changes
// nothing. ErrBadRequest, ErrExists, ErrNotCurrent.
func (n *Node) CheckUser(nu NewUser) error {
	lease := n.hot.lease.Load()
	_, err := n.checkUser(nu)
	if err == nil {
		err = checkCredential(nu.Password, nu.Hash)
	}
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent
	}
	return err
}

// HashPassword returns the hash of a password that may be set, as NewUser.Hash takes it. It is for imports: it lets log-ins go
// first, and waits for its turn until ctx ends. ErrBadRequest, and *BusyError when ctx ended.
func (n *Node) HashPassword(ctx context.Context, pw string) (string, error) {
	if err := checkCredential(pw, ""); err != nil {
		return "", err
	}
	hash, err := n.hasher.HashInTurn(ctx, pw)
	return hash, busy(err)
}

// CheckClient is CheckUser for CreateClient.
func (n *Node) CheckClient(nc NewClient) error {
	lease := n.hot.lease.Load()
	err := n.checkClient(nc)
	if err == nil && nc.Secret+nc.Hash != "" {
		err = checkCredential(nc.Secret, nc.Hash)
	}
	n.mu.RLock()
	if err == nil && n.state.clients[nc.ID] != nil {
		err = ErrExists
	}
	n.mu.RUnlock()
	if !lease.Valid(n.clock.read()) {
		return ErrNotCurrent
	}
	return err
}

// HashSecret returns nc with the hash of a secret that somebody chose instead of that, as HashPassword does it.
func (n *Node) HashSecret(ctx context.Context, nc NewClient) (NewClient, error) {
	if nc.Secret == "" || isClientSecret(nc.Secret) {
		return nc, nil
	}
	hash, err := n.HashPassword(ctx, nc.Secret)
	nc.Secret, nc.Hash = "", hash
	return nc, err
}

// checkCredential returns an error unless there is either a password that may be set or a hash that can be checked.
func checkCredential(pw, hash string) error {
	var err error
	switch {
	case (pw == "") == (hash == ""):
		return fmt.Errorf("%w: want a password or a hash, and not both", ErrBadRequest)
	case hash != "":
		err = password.CheckEncoded(hash)
	default:
		err = password.CheckNew(pw)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	return nil
}
