package node

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/knell-auth/knell/events"
	"github.com/knell-auth/knell/internal/limit"
)

// maxCounted is for how many accounts, addresses and pairs of them failures are counted at most.
const maxCounted = 1 << 16

// How the limits of accounts and addresses follow from those of an account at one address. Nobody can keep an account's owner
// out for long from afar: delays of an account as a whole stay short, and only concern addresses that are new to it.
const (
	accountFree     = 4  // times those of a pair
	addressFree     = 20 // times those of a pair: offices and carriers put many users behind one address
	accountMaxDelay = time.Minute
)

// noNetwork stands for a client without an IP address, and for loopback over IPv6.
const noNetwork = uint64(1)

// networkOf returns the part of a client's address that guesses are counted by: an IPv4 address, or the /64 of an IPv6 one,
// which is what a single customer gets. What replicas do not record as it is has another number (Recording).
func networkOf(address string) uint64 {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return noNetwork
	}
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		return 1<<32 | uint64(binary.BigEndian.Uint32(b[:])) // in ::/8, where no IPv6 client is
	}
	b := a.As16()
	return max(binary.BigEndian.Uint64(b[:]), noNetwork)
}

// networks are those from which an account was opened lately, the newest first; 0 is none.
type networks [4]uint64

func (n *networks) has(network uint64) bool {
	for _, known := range n {
		if known == network {
			return true
		}
	}
	return false
}

// add puts network to the front.
func (n *networks) add(network uint64) {
	at := len(n) - 1
	for i, known := range n {
		if known == network {
			at = i
			break
		}
	}
	copy(n[1:at+1], n[:at])
	n[0] = network
}

// target is what a guess counts for. known says that the account was opened from the network before: then only what was
// guessed at this account from this network delays it, and not what others do.
type target struct {
	account events.ID
	network uint64
	known   bool
}

// targetOf returns the target of a guess at a user, or at what a hash names.
func (s *state) targetOf(user, nameHash events.ID, network uint64) target {
	t := target{account: user, network: network}
	if user.IsZero() {
		t.account = nameHash
	}
	if u := s.users[user]; u != nil {
		t.known = u.networks.has(t.network)
	}
	return t
}

// keys returns what the target is counted by: the pair, the account and the network.
func (t target) keys() [3]limit.Key {
	return [3]limit.Key{{Account: t.account, Address: t.network}, {Account: t.account}, {Address: t.network}}
}

// wait returns how long a guess at t has to wait, by a table that counts.
func (t target) wait(table *limit.Table, now int64) time.Duration {
	keys := t.keys()
	wait := table.Wait(keys[0], now)
	if !t.known {
		wait = max(wait, table.Wait(keys[1], now), table.Wait(keys[2], now))
	}
	return wait
}

// rulesOf returns the rules of the pair, the account and the network.
func rulesOf(free int, maxDelay time.Duration) [3]limit.Rule {
	free = min(max(free, 1), 1<<16)
	forget := max(maxDelay, time.Second)
	return [3]limit.Rule{
		{Free: free, MaxDelay: maxDelay, Forget: forget},
		{Free: accountFree * free, MaxDelay: min(maxDelay, accountMaxDelay), Forget: forget},
		{Free: addressFree * free, MaxDelay: maxDelay, Forget: forget},
	}
}

// forgive takes back what was counted for the pair of t, wherever it was counted.
func (t target) forgive(table *limit.Table) {
	keys := t.keys()
	n := table.Drop(keys[0])
	table.Forgive(keys[1], n)
	table.Forgive(keys[2], n)
}

// foldAttemptStarted counts a guess as a failure, until it turns out to be right, or voids it because the next guess has to
// wait: guesses at all replicas stand in one order. A void one counts for nothing, so that nobody prolongs a delay by knocking.
func (s *state) foldAttemptStarted(seq uint64, e *events.Event, d *events.AttemptStarted) voidReason {
	t := s.targetOf(d.User, d.NameHash, s.networkOf(e))
	if t.wait(s.guesses, s.logTime) > 0 {
		return voidLimited
	}
	rules := rulesOf(int(d.Free), time.Duration(min(max(d.MaxDelay, 1), 1<<20))*time.Second)
	for i, k := range t.keys() {
		failures, until := s.guesses.Fail(k, rules[i], s.logTime, seq)
		s.touch(uint64(failures), uint64(until))
	}
	return ""
}

// foldAttemptsForgiven takes failures back.
func (s *state) foldAttemptsForgiven(e *events.Event, d *events.AttemptsForgiven) voidReason {
	u := s.users[d.User]
	switch {
	case u == nil && !d.User.IsZero():
		return voidGone
	case d.Everywhere && u == nil:
		return voidGone
	case d.Everywhere:
		s.guesses.DropAccount(u.id)
	default:
		t := s.targetOf(d.User, d.NameHash, s.networkOf(e))
		t.forgive(s.guesses)
		if u != nil {
			u.networks.add(t.network)
		}
	}
	s.touch(uint64(s.guesses.Len()))
	return ""
}

// noteOpened takes failures back when an event that is not void says that its user has proved who it is, or has a new
// password, which makes old guesses at it worthless.
func (s *state) noteOpened(e *events.Event) {
	var u *user
	switch d := e.Data.(type) {
	case *events.SessionStarted:
		if !d.Code.IsZero() { // its address is the client's: the user proved it before
			return
		}
		u = s.users[d.User]
	case *events.CodeIssued:
		u = s.users[d.User]
	case *events.SecretPassword:
		s.targetOf(d.User, events.ID{}, s.networkOf(e)).forgive(s.guesses)
		s.guesses.DropAccount(d.User)
		s.touch(uint64(s.guesses.Len()))
	}
	if u == nil {
		return
	}
	t := s.targetOf(u.id, events.ID{}, s.networkOf(e))
	t.forgive(s.guesses)
	u.networks.add(t.network)
	s.touch(uint64(s.guesses.Len()), t.network)
}

// Refreshes of a session are paced, and what else a session or a user may ask for without end: refreshRate units a second, up to
// refreshBurst at once.
const (
	refreshRate  = 8
	refreshBurst = 128
	rotationCost = 8 // one rotation a second, sixteen at once
	replayCost   = 1 // a reissue, or two at the same time, are no attack; they fill the log like one
)

// paceAfter returns when, in units, a session will have made up for what it was at pace for and for so many units more. now is
// in Unix seconds.
func paceAfter(pace, now, cost int64) int64 { return max(pace, now*refreshRate) + cost }
