package node

import (
	"strings"
	"testing"

	"github.com/knell-auth/knell/events"
)

// oauth builds the data of a command about clients and codes.
func (sc *scenario) oauth(t *testing.T, cmd string, w []string, arg map[string]string) events.Payload {
	t.Helper()
	switch cmd {
	case "change-client":
		return &events.ClientChanged{
			Client: w[0], Name: arg["name"], Scope: words(arg["scope"]), Redirects: words(arg["redirects"]), ClientSeq: sc.at(arg, "client", w[0]),
		}
	case "client-secret":
		d := &events.SecretClientSecret{Client: w[0], Hash: w[1], ClientSeq: sc.at(arg, "client", w[0])}
		if overlap := sc.num(arg, "overlap", 0); overlap != 0 {
			d.OldExpires = sc.now + overlap
		}
		return d
	case "public-client":
		return &events.SecretClient{Client: w[0]}
	case "enable-client":
		return &events.ClientEnabled{Client: w[0], ClientSeq: sc.at(arg, "client", w[0])}
	case "rotated":
		return &events.ClientSecretRotated{Client: w[0], Secret: uint64(sc.num(arg, "secret", 0))}
	case "code":
		return &events.CodeIssued{
			Code: testID(w[0]), User: testID(w[1]), Client: w[2], Scope: []string{"profile"}, IssuedAt: sc.now, Expires: sc.now + 60,
			UserSeq: sc.at(arg, "user", w[1]), ClientSeq: sc.at(arg, "client", w[2]),
		}
	}
	return sc.access(t, cmd, w, arg)
}

// words splits a list; "" has none.
func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (sc *scenario) codeID(name string) events.ID {
	if name == "" {
		return events.ID{}
	}
	return testID(name)
}
