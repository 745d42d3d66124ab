package fence

import (
	"fmt"
	"strings"
)

// Mutation is a set of rules to switch off, one bit each. Without any one of the first ten a replica accepts a token after
// its logout returned, and without any of the others a further claim falls; the tests show how. The machine honours those
// marked so; the others name rules that lie around it, for package node and for models.
type Mutation uint32

// The rules that can be switched off.
const (
	NoLeaseCheck              Mutation = 1 << iota // machine: Lease returns one that never ends
	CacheBeforeLease                               // verify looks at the state first and loads the lease afterwards
	DateFromDelivery                               // machine: a lease is dated from when its beat came back
	SetAtPublish                                   // the replicas to wait for are taken when the event is published
	WaitFromPublish                                // silence is waited out from the publish call, not from the horizon
	CachedClock                                    // verify compares the lease with a reading taken earlier
	SkipMessage                                    // the apply loop goes on after a message that it never got
	ReportsWithoutIncarnation                      // machine: a report counts for every incarnation
	NoBarrier                                      // machine: a barrier is complete at once
	CompactRevocations                             // model: the log drops a revocation when the next one has the same subject
	RepeatWithoutBarrier                           // who asks for the end of a session that has ended is not made to wait
	NoValidation                                   // the fold takes events that were validated against older records
	NoDigest                                       // replicas do not compare what they made of the log
	NoDedupe                                       // neither the log nor the fold knows event ids again
	NoReuseDetection                               // a spent refresh token is answered whenever it is presented
	NoSync                                         // package natsd: messages are acknowledged before they are on disk
	NoLevels                                       // events are written that replicas of an older version cannot read
	NoMajority                                     // the log is trimmed behind a snapshot that one replica alone has made
	UnboundLeaf                                    // the leaves of the log's Merkle tree do not have their sequences
	Unsigned                                       // what stands in a replica's name is believed without its signature, and without looking whether it is from there
	mutationEnd
)

// String returns the names of the set, comma-separated.
func (m Mutation) String() string {
	var names []string
	for bit := Mutation(1); bit < mutationEnd; bit <<= 1 {
		if m&bit != 0 {
			names = append(names, bit.name())
		}
	}
	return strings.Join(names, ",")
}

// ParseMutation returns the set that a comma-separated list of names stands for; none for the empty string.
func ParseMutation(list string) (Mutation, error) {
	var set Mutation
	if list == "" {
		return 0, nil
	}
next:
	for name := range strings.SplitSeq(list, ",") {
		for bit := Mutation(1); bit < mutationEnd; bit <<= 1 {
			if bit.name() == name {
				set |= bit
				continue next
			}
		}
		return 0, fmt.Errorf("fence: no mutation is named %q", name)
	}
	return set, nil
}

// name returns the name of a single bit.
func (m Mutation) name() string {
	switch m {
	case NoLeaseCheck:
		return "no-lease-check"
	case CacheBeforeLease:
		return "cache-before-lease"
	case DateFromDelivery:
		return "date-from-delivery"
	case SetAtPublish:
		return "set-at-publish"
	case WaitFromPublish:
		return "wait-from-publish"
	case CachedClock:
		return "cached-clock"
	case SkipMessage:
		return "skip-message"
	case ReportsWithoutIncarnation:
		return "reports-without-incarnation"
	case NoBarrier:
		return "no-barrier"
	case CompactRevocations:
		return "compact-revocations"
	case RepeatWithoutBarrier:
		return "repeat-without-barrier"
	case NoValidation:
		return "no-validation"
	case NoDigest:
		return "no-digest"
	case NoDedupe:
		return "no-dedupe"
	case NoReuseDetection:
		return "no-reuse-detection"
	case NoSync:
		return "no-sync"
	case NoLevels:
		return "no-levels"
	case NoMajority:
		return "no-majority"
	case UnboundLeaf:
		return "unbound-leaf"
	case Unsigned:
		return "unsigned"
	}
	return fmt.Sprintf("mutation-%#x", uint32(m))
}
