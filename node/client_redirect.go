package node

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// maxRedirect bounds a redirect URI in bytes: it stands in URLs and, encoded, in forms.
const maxRedirect = 512

// CheckRedirect returns an ErrBadRequest unless uri may be registered as a redirect URI: absolute, without fragment, user
// information, wildcard or anything to be encoded, and
//   - https, or
//   - http on 127.0.0.1, [::1] or localhost: a program on the user's own machine (RFC 8252 section 7.3), or
//   - of a private-use scheme, which has a dot in it (section 7.1): this leaves out javascript, data and their like.
func CheckRedirect(uri string) error {
	refuse := func(why string) error { return fmt.Errorf("%w: redirect URI %.80q %s", ErrBadRequest, uri, why) }
	if uri == "" || len(uri) > maxRedirect {
		return refuse(fmt.Sprintf("must have 1 to %d bytes", maxRedirect))
	}
	for i := range len(uri) {
		if c := uri[i]; c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return refuse("has a character that must be percent-encoded")
		}
	}
	u, err := url.Parse(uri)
	if err != nil || !strings.HasPrefix(uri, u.Scheme+":") || u.Scheme == "" {
		return refuse("is not an absolute URI with a scheme in lower case")
	}
	switch {
	case strings.Contains(uri, "#"):
		return refuse("has a fragment")
	case strings.Contains(uri, "*"):
		return refuse("has a wildcard: redirect URIs are compared as they are")
	case u.User != nil:
		return refuse("has user information")
	}
	switch host := u.Hostname(); {
	case strings.Contains(u.Scheme, "."):
		if u.Opaque != "" {
			return refuse("has no path: want scheme:/path")
		}
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("must be https, http on loopback, or of a private-use scheme with a dot in it")
	case host == "":
		return refuse("has no host")
	case u.Scheme == "http" && host != "127.0.0.1" && host != "::1" && host != "localhost":
		return refuse("must be https unless it is on loopback")
	}
	return nil
}

func checkRedirects(list []string) error {
	if len(list) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirect URIs", ErrBadRequest, maxRedirects)
	}
	for i, uri := range list {
		if err := CheckRedirect(uri); err != nil {
			return err
		}
		if slices.Contains(list[:i], uri) {
			return fmt.Errorf("%w: redirect URI %q is named twice", ErrBadRequest, uri)
		}
	}
	return nil
}

// Redirect returns where an answer to an authorization request goes, and whether it may go there: to asked if that is
// registered, character by character (RFC 9700 section 4.1.3), or, when nothing was asked for, to the only one that is. The
// port of a loopback address is free (RFC 8252 section 7.3).
func (c Client) Redirect(asked string) (string, bool) {
	if asked == "" {
		if len(c.Redirects) != 1 {
			return "", false
		}
		return c.Redirects[0], true
	}
	return asked, redirectAllowed(c.Redirects, asked)
}

func redirectAllowed(registered []string, asked string) bool {
	if slices.Contains(registered, asked) {
		return true
	}
	host, rest, ok := splitLoopback(asked)
	return ok && len(asked) <= maxRedirect && slices.ContainsFunc(registered, func(uri string) bool {
		h, r, ok := splitLoopback(uri)
		return ok && h == host && r == rest
	})
}

// splitLoopback returns a URI on a loopback address in two parts, without the port between them. It does not parse, so that
// nothing can be read in two ways: what follows the address is a port or nothing, and then a path, a query or nothing.
func splitLoopback(uri string) (host, rest string, ok bool) {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
		rest, found := strings.CutPrefix(uri, host)
		if !found {
			continue
		}
		if port, found := strings.CutPrefix(rest, ":"); found {
			rest = strings.TrimLeft(port, "0123456789")
			if digits := len(port) - len(rest); digits == 0 || digits > 5 {
				return "", "", false
			}
		}
		return host, rest, rest == "" || rest[0] == '/' || rest[0] == '?'
	}
	return "", "", false
}
