package identity

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nkeys"
)

// ErrChanging: what was before the last new authority or secret is still accepted, so that there cannot be another one yet.
var ErrChanging = errors.New("the last change is not finished: copy the directories to their machines, then run knell cluster finish")

// ErrPending: an attempt to make a new authority or new secrets ended with an error.
var ErrPending = errors.New("the last change was not made to its end: run knell cluster renew, without names, which goes on with it")

// Renew makes new certificates, with new keys, for the members with these names, for all of them when there is no name. A new
// authority or new secrets are for all of them; what was before is accepted as well until Finish. What an earlier call or Revoke has
// left undone has to be done first: a call without names does that, and nothing else.
func (s *Store) Renew(names []string, authority, secrets bool) error {
	members := s.members()
	if s.Pending != nil {
		if len(names) > 0 {
			return ErrPending
		}
		return s.resume()
	}
	if len(names) > 0 {
		if authority || secrets {
			return errors.New("a new authority or secret is for everybody: give no names")
		}
		for _, name := range names {
			if !slices.ContainsFunc(members, func(m Member) bool { return m.Name == name }) {
				return fmt.Errorf("there is no %s", name)
			}
		}
		members = slices.DeleteFunc(members, func(m Member) bool { return !slices.Contains(names, m.Name) })
	}
	if (authority || secrets) && s.Changing {
		return ErrChanging
	}
	if authority || secrets {
		return s.begin(Pending{Authority: authority, Secrets: secrets})
	}
	if err := s.issue(members); err != nil {
		return err
	}
	return s.save()
}

// begin notes a change for everybody, and makes it.
func (s *Store) begin(p Pending) error {
	s.Changing, s.Pending = true, &p
	if err := s.save(); err != nil { // before anything else, so that nobody takes for finished what was not made
		return err
	}
	return s.resume()
}

// resume makes what is pending, without what was made by an earlier attempt: a second authority would leave out the one before the first.
func (s *Store) resume() error {
	if s.Pending.Authority {
		a, err := s.authority()
		if err == nil && len(a.cross) == 0 { // Finish leaves none
			err = s.newAuthority(time.Now())
		}
		if err != nil {
			return err
		}
	}
	if s.Pending.Secrets {
		made, err := s.twoSecrets()
		if err == nil && !made {
			err = s.newSecrets()
		}
		if err != nil {
			return err
		}
	}
	if err := s.issue(s.members()); err != nil {
		return err
	}
	if gone := s.Pending.Revoked; gone != "" {
		if err := os.RemoveAll(s.path(gone)); err != nil {
			return err
		}
	}
	s.Pending = nil
	return s.save()
}

// twoSecrets reports whether there is a cluster secret beside the one before it. NKeys count when save has them, with all else.
func (s *Store) twoSecrets() (bool, error) {
	if s.External() {
		return false, nil
	}
	secrets, err := os.ReadFile(s.path(authorityDir, SecretFile))
	return bytes.Count(secrets, []byte("\n")) > 1, err
}

// Revoke takes the identity of a member away: the others get a new authority, new certificates and new secrets, and who
// has the old ones is out when Finish has been called and all of it has arrived.
func (s *Store) Revoke(name string) error {
	switch {
	case s.Pending != nil && s.Pending.Revoked == name:
		return s.resume()
	case s.Pending != nil:
		return ErrPending
	case s.Changing:
		return ErrChanging
	}
	rest := func(list []Member) []Member {
		return slices.DeleteFunc(slices.Clone(list), func(m Member) bool { return m.Name == name })
	}
	before := len(s.members())
	s.Replicas, s.Joined, s.Servers = rest(s.Replicas), rest(s.Joined), rest(s.Servers)
	if len(s.members()) == before {
		return fmt.Errorf("there is no %s", name)
	}
	if err := s.validate(); err != nil {
		return fmt.Errorf("without %s: %w; add its successor first", name, err)
	}
	return s.begin(Pending{Authority: true, Secrets: true, Revoked: name})
}

// Finish ends what Renew began: only the newest authority and secrets are good from now on.
func (s *Store) Finish() error {
	if !s.Changing {
		return errors.New("there is nothing to finish")
	}
	if s.Pending != nil {
		return ErrPending
	}
	a, err := s.authority()
	if err != nil {
		return err
	}
	if err := s.write(encodeCert(a.cert.Raw), authorityDir, CAFile); err != nil {
		return err
	}
	a.cross = nil
	if err := s.writeAuthority(a); err != nil {
		return err
	}
	if s.External() {
		for i := range s.Replicas {
			s.Replicas[i].Keys = s.Replicas[i].Keys[:1]
		}
	} else {
		secrets, err := os.ReadFile(s.path(authorityDir, SecretFile))
		if err != nil {
			return err
		}
		first, _, _ := bytes.Cut(secrets, []byte("\n"))
		if err := s.write(append(first, '\n'), authorityDir, SecretFile); err != nil {
			return err
		}
	}
	s.Changing = false
	if err := s.share(s.members()); err != nil {
		return err
	}
	return s.save()
}

// secretBytes is the length of a secret, in random bytes.
const secretBytes = 24

// newSecrets makes what replicas show besides their certificates. What was before stays good.
func (s *Store) newSecrets() error {
	if s.External() {
		return s.newKeys(nil, true)
	}
	b := make([]byte, secretBytes)
	if _, err := rand.Read(b); err != nil {
		return err
	}
	before, err := os.ReadFile(s.path(authorityDir, SecretFile))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	secret := base64.RawURLEncoding.EncodeToString(b)
	return s.write(append([]byte(secret+"\n"), before...), authorityDir, SecretFile)
}

// newKeys makes NKeys for replicas on NATS servers elsewhere, and writes their seeds: for all of them, or for those that were added.
func (s *Store) newKeys(added []Member, all bool) error {
	if !s.External() {
		return nil
	}
	for i := range s.Replicas {
		r := &s.Replicas[i]
		if !all && !slices.ContainsFunc(added, func(m Member) bool { return m.Name == r.Name }) {
			continue
		}
		pair, err := nkeys.CreateUser()
		if err != nil {
			return err
		}
		public, err := pair.PublicKey()
		if err != nil {
			return err
		}
		seed, err := pair.Seed()
		if err != nil {
			return err
		}
		if err := s.write(append(seed, '\n'), r.Name, SeedFile); err != nil {
			return err
		}
		r.Keys = append([]string{public}, r.Keys...)
	}
	return nil
}

// share gives members what all of them have alike: the authorities and secrets that are good.
func (s *Store) share(members []Member) error {
	certs, err := os.ReadFile(s.path(authorityDir, CAFile))
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := s.write(certs, m.Name, CAFile); err != nil {
			return err
		}
		if s.External() {
			continue
		}
		secrets, err := os.ReadFile(s.path(authorityDir, SecretFile))
		if err != nil {
			return err
		}
		if err := s.write(secrets, m.Name, SecretFile); err != nil {
			return err
		}
	}
	return s.configure()
}

// configure writes the configurations of NATS servers elsewhere.
func (s *Store) configure() error {
	for _, m := range s.Servers {
		if err := s.write([]byte(s.config(&s.Cluster, m.Name)), m.Name, ConfigFile); err != nil {
			return err
		}
	}
	return nil
}
