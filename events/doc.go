// Package events owns Knell's event log: the vocabulary, its wire format (CloudEvents 1.0, structured JSON), the NATS
// subjects, the JetStream stream KNELL, and what anybody does with it: Append, Follow and Read. It is what a consumer of
// events imports.
//
// It does not know what an event does to a session. Whether an event took effect or lost a race is decided by who folds
// the log; here, what is in the log is in the log.
//
// Log is the log over JetStream. Package eventstest has one in memory with faults, and the conformance suite that both pass.
//
// A NATS user that is used with Log needs these rights, besides those to publish the events: publish to $JS.API.INFO,
// $JS.API.STREAM.INFO.KNELL, $JS.API.STREAM.CREATE.KNELL (for Open to create the stream), $JS.API.CONSUMER.CREATE.KNELL.>,
// $JS.API.CONSUMER.MSG.NEXT.KNELL.*, $JS.API.CONSUMER.DELETE.KNELL.* and knell.report.*.<node>; subscribe to its inboxes,
// knell.live.> and knell.report.<node>.*.
package events
