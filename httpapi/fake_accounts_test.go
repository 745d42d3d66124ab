package httpapi

import (
	"context"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/node"
)

func (s *scripted) UserSessions(events.ID) ([]node.Session, error) { return nil, s.err }
func (s *scripted) EndSession(context.Context, events.ID, events.ID, node.Origin) error {
	return s.err
}
func (s *scripted) LogoutOthers(context.Context, string, node.Origin) error { return s.err }
func (s *scripted) LogoutAll(context.Context, string, node.Origin) error    { return s.err }

func (s *scripted) ChangePassword(context.Context, node.PasswordChange) error { return s.err }

func (s *scripted) ListUsers(string, int) (node.UserPage, error) { return node.UserPage{}, s.err }
func (s *scripted) UserNamed(string) (node.User, error)          { return node.User{}, s.err }
func (s *scripted) User(events.ID) (node.User, error)            { return node.User{}, s.err }
func (s *scripted) ChangeUser(context.Context, events.ID, node.UserChange, node.Origin) error {
	return s.err
}
func (s *scripted) DeleteUser(context.Context, events.ID, node.Origin) error { return s.err }

func (s *scripted) Revoke(context.Context, node.Revocation, node.Origin) error { return s.err }
func (s *scripted) WouldRevoke(node.Revocation) (int, error)                   { return 0, s.err }

func (s *scripted) CheckUser(node.NewUser) error                         { return s.err }
func (s *scripted) HashPassword(context.Context, string) (string, error) { return "", s.err }
func (s *scripted) CheckClient(node.NewClient) error                     { return s.err }
func (s *scripted) HashSecret(context.Context, node.NewClient) (node.NewClient, error) {
	return node.NewClient{}, s.err
}
