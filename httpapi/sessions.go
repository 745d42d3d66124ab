package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

// SessionList shows and ends the sessions of a user.
type SessionList interface {
	UserSessions(user events.ID) ([]node.Session, error)
	EndSession(ctx context.Context, id, owner events.ID, o node.Origin) error
	LogoutOthers(ctx context.Context, accessToken string, o node.Origin) error
	LogoutAll(ctx context.Context, accessToken string, o node.Origin) error
}

// sessionDocument is a session as JSON.
type sessionDocument struct {
	ID        string     `json:"id"`
	UserAgent string     `json:"user_agent"`
	Address   string     `json:"address"`
	Client    string     `json:"client_id,omitempty"`
	Scope     string     `json:"scope"`
	Remember  bool       `json:"remember"`
	Started   time.Time  `json:"started"`
	Refreshed *time.Time `json:"last_refreshed" doc:"Null: never."`
	Expires   time.Time  `json:"expires"`
	Current   bool       `json:"current" doc:"It is the session of the request's own token."`
}

// sessionsDocument is a list of sessions.
type sessionsDocument struct {
	Sessions []sessionDocument `json:"sessions"`
}

// ownSessions serves GET /sessions: those of the token's user, the newest first.
func (a *api) ownSessions(w http.ResponseWriter, r *http.Request) {
	id, _ := IdentityFrom(r.Context()) // Authenticate stands before
	user, _ := events.ParseID(id.Subject())
	a.writeSessions(w, r, user, id.Session())
}

// userSessions serves GET /users/{id}/sessions.
func (a *api) userSessions(w http.ResponseWriter, r *http.Request) {
	user, err := pathID(r, "id")
	if err == nil {
		_, err = a.n.User(user)
	}
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	var current events.ID
	if id, ok := IdentityFrom(r.Context()); ok {
		current = id.Session()
	}
	a.writeSessions(w, r, user, current)
}

func (a *api) writeSessions(w http.ResponseWriter, r *http.Request, user, current events.ID) {
	sessions, err := a.n.UserSessions(user)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	documents := make([]sessionDocument, 0, len(sessions))
	for _, s := range sessions {
		d := sessionDocument{
			ID: s.ID.String(), UserAgent: s.UserAgent, Address: s.Address, Client: s.Client, Scope: joinScope(s.Scope),
			Remember: s.Remember, Started: s.Started.UTC(), Expires: s.Expires.UTC(), Current: s.ID == current,
		}
		if !s.Refreshed.IsZero() {
			refreshed := s.Refreshed.UTC()
			d.Refreshed = &refreshed
		}
		documents = append(documents, d)
	}
	writeJSON(w, http.StatusOK, sessionsDocument{documents})
}

// endOwnSession serves DELETE /sessions/{id}: a session of the token's user. Any other is 404, but one that ended lately is
// 204 for everybody: nothing is known any more about it than that.
func (a *api) endOwnSession(w http.ResponseWriter, r *http.Request) {
	id, _ := IdentityFrom(r.Context())
	user, _ := events.ParseID(id.Subject())
	a.endSession(w, r, user, "id")
}

// endUserSession serves DELETE /users/{id}/sessions/{session}.
func (a *api) endUserSession(w http.ResponseWriter, r *http.Request) {
	user, err := pathID(r, "id")
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	a.endSession(w, r, user, "session")
}

// endSession ends the session in a parameter of the path, if it is owner's.
func (a *api) endSession(w http.ResponseWriter, r *http.Request, owner events.ID, parameter string) {
	session, err := pathID(r, parameter)
	if err != nil {
		fail(w, r, a.n, err)
		return
	}
	o := a.origin(r)
	a.revoke(w, r, func(ctx context.Context) error { return a.n.EndSession(ctx, session, owner, o) })
}

// pathID returns the id in a parameter of the path. What is none belongs to nothing: ErrNotFound.
func pathID(r *http.Request, parameter string) (events.ID, error) {
	id, err := events.ParseID(chi.URLParam(r, parameter))
	if err != nil || id.IsZero() {
		return events.ID{}, node.ErrNotFound
	}
	return id, nil
}
