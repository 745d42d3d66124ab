//go:build !knell_next

package events

// Level is the newest schema level that this build knows. An event says which one its reader must know; a replica that reads a
// higher one must stop, unless the event is marked optional.
const Level = 2

// needs returns the schema level that a reader of p must know, and whether one that does not may pass over it. An optional event
// changes no state and is never void: replicas that pass over it must come to the same digest as those that read it.
func needs(p Payload) (level uint32, optional bool) { return levelOf(p), false }

// newNextPayload returns nil: builds with the tag knell_next know more types.
func newNextPayload(Type) Payload { return nil }
