package httpapi

import (
	"context"
	"time"

	"github.com/knell-auth/knell/node"
)

func (s *scripted) Webhooks() ([]node.Webhook, error)    { return nil, s.err }
func (s *scripted) Webhook(string) (node.Webhook, error) { return node.Webhook{}, s.err }
func (s *scripted) Lag(context.Context, string) (node.WebhookLag, error) {
	return node.WebhookLag{}, s.err
}
func (s *scripted) CreateWebhook(context.Context, node.NewWebhook, node.Origin) (string, error) {
	return "", s.err
}
func (s *scripted) ChangeWebhook(context.Context, string, node.WebhookChange, node.Origin) error {
	return s.err
}
func (s *scripted) RotateWebhookSecret(context.Context, string, string, time.Duration, node.Origin) (string, error) {
	return "", s.err
}
func (s *scripted) DeleteWebhook(context.Context, string, node.Origin) error { return s.err }
func (s *scripted) PauseWebhook(context.Context, string, node.Origin) error  { return s.err }
func (s *scripted) ResumeWebhook(context.Context, string, node.Origin) error { return s.err }
func (s *scripted) SetWebhookCursor(context.Context, string, uint64, node.Origin) error {
	return s.err
}
func (s *scripted) TestWebhook(context.Context, string, node.Origin) (node.WebhookTest, error) {
	return node.WebhookTest{}, s.err
}
