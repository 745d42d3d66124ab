package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// Revocations ends what an administrator names.
type Revocations interface {
	Revoke(context.Context, node.Revocation, node.Origin) error
	WouldRevoke(node.Revocation) (int, error)
}

// dryRunDocument says what a revocation would do.
type dryRunDocument struct {
	DryRun   bool `json:"dry_run"`
	Sessions int  `json:"sessions" doc:"How many would end."`
}

// revocationDocument is what POST /revocations may answer with.
type revocationDocument struct {
	DryRun    bool   `json:"dry_run,omitempty"`
	Sessions  int    `json:"sessions,omitempty" doc:"How many would end."`
	Proof     string `json:"proof,omitempty" doc:"Of a receipt."`
	Statement string `json:"statement,omitempty" doc:"Of a receipt."`
}

// revokeAny serves POST /revocations: one JSON object with one of session, user, client, signing_key and everything, and the
// reason, which goes into the one event that does it. With dry_run nothing is appended; the answer is how many sessions
// would end.
func (a *api) revokeAny(w http.ResponseWriter, r *http.Request) {
	o := a.origin(r)
	revocation, dryRun, err := readRevocation(w, r, &o.Reason)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	if !dryRun {
		a.revoke(w, r, func(ctx context.Context) error { return a.n.Revoke(ctx, revocation, o) })
		return
	}
	sessions, err := a.n.WouldRevoke(revocation)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	writeJSON(w, http.StatusOK, dryRunDocument{true, sessions})
}

// readRevocation reads what is to be ended. A reason is required where something ends.
func readRevocation(w http.ResponseWriter, r *http.Request, reason *string) (revocation node.Revocation, dryRun bool, err error) {
	var session, user, client, key *string
	err = readJSON(w, r, members{
		"session": &session, "user": &user, "client": &client, "signing_key": &key, "everything": &revocation.Everything,
		"reason": reason, "dry_run": &dryRun,
	})
	if err != nil {
		return node.Revocation{}, false, err
	}
	given := 0
	for _, s := range []*string{session, user, client, key} {
		if s != nil {
			given++
		}
	}
	if revocation.Everything {
		given++
	}
	switch {
	case given != 1:
		err = badRequest(`exactly one of the members "session", "user", "client", "signing_key" and "everything" must be given`)
	case !dryRun && strings.TrimSpace(*reason) == "":
		err = badRequest(`member "reason" is missing`)
	case session != nil:
		revocation.Session, err = namedID(*session)
	case user != nil:
		revocation.User, err = namedID(*user)
	case client != nil:
		revocation.Client, err = named(*client)
	case key != nil:
		revocation.SigningKey, err = named(*key)
	}
	return revocation, dryRun, err
}

// namedID returns the id that s is. Text that no id has names nothing.
func namedID(s string) (events.ID, error) {
	id, err := events.ParseID(s)
	if err != nil || id.IsZero() {
		return events.ID{}, node.ErrNotFound
	}
	return id, nil
}

// maxNamed is longer than any client id and any kid, in bytes.
const maxNamed = 64

func named(s string) (string, error) {
	if s == "" || len(s) > maxNamed {
		return "", node.ErrNotFound
	}
	return s, nil
}
