package natsd

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// inProcessOnly is nats-server's name for the connection type; a name that it does not know fails the start.
const inProcessOnly = "IN_PROCESS"

// clientOnly is nats-server's name for the connection type of NATS clients: who may connect may not be a leaf node.
const clientOnly = "STANDARD"

// snapshotStreamName is the stream with the snapshots of what the log means.
const snapshotStreamName = StreamName + "_SNAPSHOTS"

// inboxPrefix returns the prefix of a replica's reply subjects. It differs per replica, so that none can listen to the
// answers that another one gets.
func inboxPrefix(name string) string { return "_INBOX_" + name }

// joinedInbox is the prefix of the reply subjects of replicas that joined. The name is a token of its own, so that a
// peer can allow all of them at once.
const joinedInbox = "_JOINED."

// inbox returns the prefix of the reply subjects of the replica that cfg is about.
func (c *Config) inbox() string {
	if c.Join != nil {
		return joinedInbox + c.Name
	}
	return inboxPrefix(c.Name)
}

// adminInbox is the prefix of the administrator's reply subjects.
func adminInbox(name string) string { return "_ADMIN_" + name }

// apiPrefix begins the subjects of the JetStream API.
const apiPrefix = "$JS.API."

// replicaRights returns what the replica with this name may do. Whatever is not listed is denied.
func replicaRights(name string) *server.Permissions {
	r := logRights(name, apiPrefix, inboxPrefix(name))
	r.Publish.Allow = append(r.Publish.Allow, apiPrefix+"STREAM.CREATE."+StreamName, apiPrefix+"STREAM.CREATE."+TileStream)
	return r
}

// logRights returns what is needed to append, to follow and to report: for the replica with this name, or for all of them
// when it is "*".
func logRights(name, prefix, inbox string) *server.Permissions {
	api := func(verb string) string { return prefix + verb + "." + StreamName }
	return &server.Permissions{
		Publish: &server.SubjectPermission{
			Allow: []string{
				"knell.event.>",
				"knell.secret.>",
				"knell.node." + name,     // nobody beats for another
				"knell.report.*." + name, // to anybody, from oneself
				"knell.tile.>",
				prefix + "INFO",
				prefix + "STREAM.NAMES",
				api("STREAM.INFO"),
				api("CONSUMER.CREATE"),
				api("CONSUMER.CREATE") + ".>",
				api("CONSUMER.DELETE") + ".*",
				api("CONSUMER.INFO") + ".*",
				api("CONSUMER.MSG.NEXT") + ".*",
				prefix + "STREAM.INFO." + TileStream,
				prefix + "STREAM.MSG.GET." + TileStream,
				"$JS.ACK." + StreamName + ".>",
				"$JS.FC." + StreamName + ".>",
				"knell.snapshot.*." + name + ".*", // nobody writes one for another, and any of them may drop one
				prefix + "STREAM.CREATE." + snapshotStreamName,
				prefix + "STREAM.INFO." + snapshotStreamName,
				prefix + "STREAM.PURGE." + snapshotStreamName,
				prefix + "DIRECT.GET." + snapshotStreamName + ".>",
			},
			// Denied already. Listed so that a wider right that is added above can't bring them back: only servers say on
			// knell.live what the log holds, and nothing in the log is changed or removed.
			Deny: []string{
				"knell.live.>",
				prefix + "STREAM.UPDATE.>",
				prefix + "STREAM.DELETE.>",
				api("STREAM.PURGE"),
				prefix + "STREAM.MSG.DELETE.>",
			},
		},
		Subscribe: &server.SubjectPermission{
			Allow: []string{
				inbox + ".>",
				"knell.live.>",
				"knell.report." + name + ".*",
			},
		},
	}
}

// keeperRights returns what is needed to move the stream's leadership, to raise its limit and to trim it: in the account of the
// stream, and nothing else.
func keeperRights(name string) *server.Permissions {
	return &server.Permissions{
		Publish:   exactly([]string{askStreamInfo, askStreamMove, askStreamUpdate, askStreamPurge}),
		Subscribe: exactly([]string{adminInbox(name) + ".>", streamElected}),
	}
}

// adminRights returns what is needed to move JetStream's leadership and to remove a member: in the system account, and nothing else.
func adminRights(name string) *server.Permissions {
	return &server.Permissions{
		Publish:   exactly([]string{askMetaMove, askRemove}),
		Subscribe: exactly([]string{adminInbox(name) + ".>", metaElected}),
	}
}

// users are the keys of this process. They are made at the start, live in memory only, and are good for in-process
// connections only.
type users struct {
	replica nkeys.KeyPair // what Connect gives out
	tap     nkeys.KeyPair // for those who read events from outside
	keeper  nkeys.KeyPair // hands the stream over, raises its limit, trims it
	admin   nkeys.KeyPair // hands JetStream over
}

func newUsers() (u users, err error) {
	for _, k := range []*nkeys.KeyPair{&u.replica, &u.tap, &u.keeper, &u.admin} {
		if *k, err = nkeys.CreateUser(); err != nil {
			return users{}, fmt.Errorf("natsd: making a user key: %w", err)
		}
	}
	return u, nil
}

// setUsers fills in who may connect: the users of this process, from inside of it only, and cfg.Users.
func setUsers(o *server.Options, cfg Config, own users) error {
	accounts := map[string]*server.Account{}
	for _, a := range o.Accounts {
		accounts[a.GetName()] = a
	}
	inProcess := map[string]struct{}{inProcessOnly: {}}
	for _, u := range []struct {
		key     nkeys.KeyPair
		account string
		rights  *server.Permissions
	}{
		{own.replica, Account, cfg.rights()},
		{own.tap, Account, tapRights(cfg.Name, cfg.api())},
		{own.keeper, Account, keeperRights(cfg.Name)},
		{own.admin, systemAccount, adminRights(cfg.Name)},
	} {
		public, err := u.key.PublicKey()
		if err != nil {
			return fmt.Errorf("natsd: user key: %w", err)
		}
		o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: public, Account: accounts[u.account], Permissions: u.rights,
			AllowedConnectionTypes: inProcess})
	}
	for _, u := range cfg.Users {
		o.Nkeys = append(o.Nkeys, &server.NkeyUser{Nkey: u.Key, Account: accounts[Account],
			AllowedConnectionTypes: map[string]struct{}{clientOnly: {}}, Permissions: &server.Permissions{
				Publish:   exactly(u.Publish),
				Subscribe: exactly(u.Subscribe),
			}})
	}
	return nil
}

// rights returns what the replica that cfg is about may do. One that joined does not create the log: it could not say how
// many copies there are.
func (c *Config) rights() *server.Permissions {
	if c.Making != "" {
		return nil
	}
	if c.Join != nil {
		return logRights(c.Name, domainPrefix, c.inbox())
	}
	return replicaRights(c.Name)
}

// exactly returns the right to use these subjects only. For the server, an empty list would mean all subjects.
func exactly(subjects []string) *server.SubjectPermission {
	if len(subjects) == 0 {
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: subjects}
}
