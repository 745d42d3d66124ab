package events

import "slices"

// typePrefix stands before a Type in a CloudEvent.
const typePrefix = "knell."

// TypeInfo describes one event type.
type TypeInfo struct {
	Type    Type
	Level   uint32  // schema level at which this build writes the type with every field set
	Example Payload // every field is set
}

// LevelOf returns the schema level that a replica must know to follow a log that has p in it, at most Level: that of the newest member
// which p makes use of and a reader must not overlook; 1 for an optional event. So a type that gets such a member is written as before wherever the member is not used, and goes
// on to be written while replicas of two versions share the log.
//
// What replicas say about themselves (node.*) stays at the first level: a replica that may not say it cannot join.
func LevelOf(p Payload) uint32 {
	level, optional := needs(p)
	if optional {
		return 1
	}
	return level
}

// levelOf returns the schema level of the types that every build of this version knows. Those of the first are not listed.
func levelOf(p Payload) uint32 {
	switch p.(type) {
	case *EventsGranted, *GrantRevoked:
		return 2
	}
	return 1
}

// newPayload returns an empty payload for the type, or nil for a type that this build does not know.
func newPayload(t Type) Payload {
	switch t {
	case TypeLogStarted:
		return new(LogStarted)
	case TypeSessionStarted:
		return new(SessionStarted)
	case TypeSessionRefreshed:
		return new(SessionRefreshed)
	case TypeRefreshReplayed:
		return new(RefreshReplayed)
	case TypeClientToken:
		return new(ClientToken)
	case TypeSessionRevoked:
		return new(SessionRevoked)
	case TypeUserRevoked:
		return new(UserRevoked)
	case TypeClientRevoked:
		return new(ClientRevoked)
	case TypeSigningKeyRevoked:
		return new(SigningKeyRevoked)
	case TypeAllRevoked:
		return new(AllRevoked)
	case TypeUserCreated:
		return new(UserCreated)
	case TypeUserEnabled:
		return new(UserEnabled)
	case TypeUserRolesChanged:
		return new(UserRolesChanged)
	case TypePasswordChanged:
		return new(PasswordChanged)
	case TypeClientCreated:
		return new(ClientCreated)
	case TypeLoginFailed:
		return new(LoginFailed)
	case TypeSecretUser:
		return new(SecretUser)
	case TypeSecretPassword:
		return new(SecretPassword)
	case TypeSecretRehash:
		return new(SecretRehash)
	case TypeSecretClient:
		return new(SecretClient)
	case TypeNodeJoined:
		return new(NodeJoined)
	case TypeNodeBeat:
		return new(NodeBeat)
	case TypeNodeLeft:
		return new(NodeLeft)
	case TypeNodeKey:
		return new(NodeKey)
	case TypeLevelRaised:
		return new(LevelRaised)
	}
	return newAccessPayload(t)
}

func newAccessPayload(t Type) Payload {
	switch t {
	case TypeCodeIssued:
		return new(CodeIssued)
	case TypeAPIKeyRevoked:
		return new(APIKeyRevoked)
	case TypeUserChanged:
		return new(UserChanged)
	case TypeClientChanged:
		return new(ClientChanged)
	case TypeClientEnabled:
		return new(ClientEnabled)
	case TypeClientSecretRotated:
		return new(ClientSecretRotated)
	case TypeAPIKeyCreated:
		return new(APIKeyCreated)
	case TypeAPIKeyRotated:
		return new(APIKeyRotated)
	case TypeAPIKeyUsed:
		return new(APIKeyUsed)
	case TypeRoleScopes:
		return new(RoleScopes)
	case TypeEventsGranted:
		return new(EventsGranted)
	case TypeGrantRevoked:
		return new(GrantRevoked)
	case TypeAttemptStarted:
		return new(AttemptStarted)
	case TypeAttemptsForgiven:
		return new(AttemptsForgiven)
	case TypeLockedOut:
		return new(LockedOut)
	case TypeSecretProfile:
		return new(SecretProfile)
	case TypeSecretClientSecret:
		return new(SecretClientSecret)
	case TypeSecretAPIKey:
		return new(SecretAPIKey)
	case TypeSecretAPIKeyRotated:
		return new(SecretAPIKeyRotated)
	}
	return newWebhookPayload(t)
}

// Types returns every event type of this build, in the order of the vocabulary, with an example of its payload.
func Types() []TypeInfo {
	const (
		login   = int64(1767225600)
		hash    = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA"
		client  = "svc"
		kid     = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
		sha     = 32
		session = "example session"
	)
	id := func(of string) ID { return DeriveID("knell/example", []byte(of)) }
	key := func(of string) []byte {
		return append(make([]byte, 0, sha), (of + "................................")[:sha]...)
	}
	user, scope, roles := id("user"), []string{"profile", "orders:read"}, []string{"member"}
	redirects := []string{"https://shop.example.com/callback"}
	examples := []Payload{
		&LogStarted{HashKey: key("hash key")},
		&SessionStarted{Session: id(session), User: user, Client: client, Scope: scope, IssuedAt: login, AccessExpires: login + 300,
			IdleExpires: login + 86400, Expires: login + 30*86400, UserSeq: 17, ClientSeq: 9, Code: id("code"), AuthTime: login - 5, Remember: true},
		&SessionRefreshed{Session: id(session), Generation: 2, IssuedAt: login + 240, AccessExpires: login + 540,
			IdleExpires: login + 86640, SessionSeq: 42, UserSeq: 17, ClientSeq: 9, Key: kid},
		&RefreshReplayed{Session: id(session), Generation: 2, SessionSeq: 43, Key: kid},
		&ClientToken{Session: id("token"), Client: client, Scope: scope, IssuedAt: login, AccessExpires: login + 300, ClientSeq: 9},
		&SessionRevoked{Session: id(session), User: user},
		&UserRevoked{User: user, Cause: "disabled", UserSeq: 17, Except: id(session)},
		&ClientRevoked{Client: client, Cause: "deleted", ClientSeq: 9},
		&SigningKeyRevoked{Key: kid},
		&AllRevoked{},
		&UserCreated{User: user, Roles: roles, Secret: 16},
		&UserEnabled{User: user, UserSeq: 18},
		&UserRolesChanged{User: user, Roles: roles, Scope: scope, UserSeq: 19},
		&PasswordChanged{User: user, Secret: 20, Except: id(session)},
		&ClientCreated{Client: client, Secret: 8},
		&LoginFailed{User: user, NameHash: id("name"), Cause: "password"},
		&SecretUser{User: user, Name: "alice", Hash: hash, Roles: roles, Scope: scope, Disabled: true, First: true,
			Email: "alice@example.com", FullName: "Alice Example"},
		&SecretPassword{User: user, Hash: hash, UserSeq: 17, Except: id(session)},
		&SecretRehash{User: user, Hash: hash, UserSeq: 17},
		&SecretClient{Client: client, Name: "Orders", Hash: hash, Scope: scope, Redirects: redirects},
		&CodeIssued{Code: id("code"), User: user, Client: client, Scope: scope, IssuedAt: login, Expires: login + 60, UserSeq: 17, ClientSeq: 9},
		&APIKeyRevoked{Key: id("api key")},
		&UserChanged{User: user, Secret: 21},
		&ClientChanged{Client: client, Name: "Orders", Scope: scope, Redirects: redirects, ClientSeq: 9},
		&ClientEnabled{Client: client, ClientSeq: 10},
		&ClientSecretRotated{Client: client, Secret: 22},
		&APIKeyCreated{Key: id("api key"), User: user, Scope: scope, Expires: login + 90*86400, Secret: 23},
		&APIKeyRotated{Key: id("api key"), User: user, Secret: 24}, &APIKeyUsed{Key: id("api key"), User: user, UsedAt: login},
		&RoleScopes{Role: "member", Scope: scope, RoleSeq: 25},
		&EventsGranted{Grant: "siem", Key: "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", After: 26}, &GrantRevoked{Grant: "siem"},
		&AttemptStarted{User: user, NameHash: id("name"), Free: 5, MaxDelay: 900},
		&AttemptsForgiven{User: user, NameHash: id("name"), Everywhere: true},
		&LockedOut{User: user, NameHash: id("name"), Until: login + 60},
		&SecretProfile{User: user, Name: "alice", Email: "alice@example.com", FullName: "Alice Example", UserSeq: 17},
		&SecretClientSecret{Client: client, Hash: hash, OldExpires: login + 86400, ClientSeq: 9},
		&SecretAPIKey{Key: id("api key"), User: user, Name: "nightly export", Scope: scope, Expires: login + 90*86400, Digest: key("digest"), UserSeq: 17},
		&SecretAPIKeyRotated{Key: id("api key"), User: user, Digest: key("digest 2"), OldExpires: login + 86400, KeySeq: 23},
	}
	examples = slices.Concat(examples, nodeExamples(kid, id, key), webhookExamples(user, id("life 2"), login, key), retentionExamples(), restoredExamples())
	infos := make([]TypeInfo, len(examples))
	for i, p := range examples {
		infos[i] = TypeInfo{Type: p.Type(), Level: LevelOf(p), Example: p}
	}
	return infos
}

// nodeExamples are what replicas say of themselves.
func nodeExamples(kid string, id func(string) ID, key func(string) []byte) []Payload {
	return []Payload{
		&NodeJoined{Incarnation: id("life 2"), Replaces: id("life 1"), Version: "1.0.0", Level: Level, Issuer: "https://id.example.com", Audience: "api",
			Signature: key("signature")},
		&NodeBeat{Pings: []Ping{{Node: "n1", Incarnation: id("life 2"), Counter: 7, Applied: 42, Digest: id("digest"), Level: Level, LeaseMillis: 3000,
			Signature: key("signature")}}},
		&NodeLeft{Incarnation: id("life 2"), Signature: key("signature")},
		&NodeKey{Key: kid, Alg: "EdDSA", Public: key("public"),
			RefreshPublic: key("refresh"), Incarnation: id("life 2")},
		&LevelRaised{Level: Level},
	}
}
