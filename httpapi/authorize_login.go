package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/knell-auth/knell/node"
)

// textUnavailable is what a user reads when a replica cannot answer (503).
const textUnavailable = "The service cannot answer at the moment. Wait a little and try again."

// errClientGone ends a log-in that began when its client was still good.
var errClientGone = badRequest("the application was changed, disabled or removed meanwhile")

// logIn serves what is sent from a log-in page.
func (a *api) logIn(w http.ResponseWriter, r *http.Request, p parameters) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		a.refuse(w, r, badRequest("the form was sent from another site"))
		return
	}
	for name := range p {
		if p.twice(name) {
			a.refuse(w, r, badRequest("a field occurs more than once"))
			return
		}
	}
	what := typed{Name: p.get("username"), Remember: p.get("remember") == "true"}
	if p.has("remember") && !what.Remember {
		a.refuse(w, r, badRequest("the field remember can be true, or be absent"))
		return
	}
	req, err := a.n.OpenRequest(p.get(fieldRequest))
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	client, err := a.n.ClientForCode(req.Client)
	switch {
	case errors.Is(err, node.ErrInvalidClient):
		a.refuse(w, r, errClientGone)
		return
	case err != nil: // a replica that cannot answer: the user tries again with what he has typed
		a.logInFailed(w, r, node.Client{ID: req.Client}, req, what, err)
		return
	}
	if _, ok := client.Redirect(req.Redirect); !ok { // whatever the answer is: it must not go there
		a.refuse(w, r, errClientGone)
		return
	}
	switch {
	case p.has("cancel"):
		a.redirect(w, r, req, &clientError{"access_denied", "the user did not log in"})
		return
	case !p.has("username") || !p.has("password"):
		a.showLogIn(w, http.StatusBadRequest, client, req, what, "Enter your name and your password.")
		return
	}
	code, err := a.n.IssueCode(r.Context(), req, node.LoginRequest{
		Name: what.Name, Password: p.get("password"), Remember: what.Remember, Origin: a.origin(r),
	})
	switch {
	case err == nil:
		a.answerClientAt(w, r, req, url.Values{"code": {code}})
	case errors.Is(err, node.ErrInvalidScope):
		a.redirect(w, r, req, &clientError{codeInvalidScope, "the client or the user may not have what was asked for"})
	case errors.Is(err, node.ErrInvalidClient) || errors.Is(err, node.ErrBadRequest): // its redirect URI was taken away
		a.refuse(w, r, errClientGone)
	default:
		a.logInFailed(w, r, client, req, what, err)
	}
}

// logInFailed shows the log-in page again and says why.
func (a *api) logInFailed(w http.ResponseWriter, r *http.Request, client node.Client, req node.CodeRequest, what typed, err error) {
	ans := settleError(w, r, a.n, err)
	text := "You could not be logged in: " + ans.text + "."
	if errors.Is(err, node.ErrInvalidGrant) { // one text for whatever was wrong
		text = "The name or the password is not right."
	} else if ans.status == http.StatusServiceUnavailable {
		text = textUnavailable
	}
	a.showLogIn(w, ans.status, client, req, what, text)
}

// refuse shows an error to the user, of which no client is told.
func (a *api) refuse(w http.ResponseWriter, r *http.Request, err error) {
	ans := settleError(w, r, a.n, err)
	text := "The request was refused: " + strings.TrimPrefix(ans.text, "bad request: ") + "."
	if ans.status == http.StatusServiceUnavailable {
		text = textUnavailable
	}
	writePage(w, ans.status, "", errorPage{Text: text, RequestID: requestOf(r).id, Style: style})
}
