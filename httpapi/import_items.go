package httpapi

import (
	"context"

	"github.com/knell-auth/knell/node"
)

// importItem is what a line of an import describes.
type importItem interface {
	// name is under what it will be known: of two lines with one name the first counts.
	name() string
	// check returns why it could not be created, and changes nothing.
	check() error
	// hash replaces a password by its hash. However long that has to wait for log-ins, it waits as well.
	hash(context.Context) error
	// create creates it, when it has been hashed, and returns its id.
	create(context.Context, node.Origin) (id string, err error)
}

// userItem is a user to be imported.
type userItem struct {
	node.NewUser
	key string // the name as it is kept
	n   LocalNode
}

func parseUser(n LocalNode, line []byte) (importItem, error) {
	u := &userItem{n: n}
	err := decodeObject(line, members{
		"name": &u.Name, "password": &u.Password, "hash": &u.Hash, "email": &u.Email, "full_name": &u.FullName,
		"roles": &u.Roles, "scopes": &u.Scope, "disabled": &u.Disabled,
	}, "name")
	if err == nil {
		u.key, err = node.NormalName(u.Name)
	}
	return u, err
}

func (u *userItem) name() string { return u.key }
func (u *userItem) check() error { return u.n.CheckUser(u.NewUser) }

func (u *userItem) hash(ctx context.Context) error {
	if u.Password == "" {
		return nil
	}
	err := u.check() // who is there already is not hashed for
	if err == nil {
		u.Hash, err = u.n.HashPassword(ctx, u.Password)
		u.Password = ""
	}
	return err
}

func (u *userItem) create(ctx context.Context, o node.Origin) (string, error) {
	created, err := u.n.CreateUser(ctx, u.NewUser, o)
	return created.ID.String(), err
}

// clientItem is a client to be imported.
type clientItem struct {
	node.NewClient
	confidential bool
	n            LocalNode
}

func parseClient(n LocalNode, line []byte) (importItem, error) {
	c := &clientItem{n: n}
	err := decodeObject(line, members{
		"id": &c.ID, "name": &c.Name, "secret": &c.Secret, "hash": &c.Hash, "confidential": &c.confidential, "scopes": &c.Scope,
		"redirect_uris": &c.Redirects,
	}, "id")
	return c, err
}

func (c *clientItem) name() string { return c.ID }

func (c *clientItem) check() error {
	if c.confidential && c.Secret == "" && c.Hash == "" {
		return badRequest("a confidential client needs a secret or a hash")
	}
	return c.n.CheckClient(c.NewClient)
}

func (c *clientItem) hash(ctx context.Context) error {
	err := c.check()
	if err == nil {
		c.NewClient, err = c.n.HashSecret(ctx, c.NewClient)
	}
	return err
}

func (c *clientItem) create(ctx context.Context, o node.Origin) (string, error) {
	return c.ID, c.n.CreateClient(ctx, c.NewClient, o)
}
