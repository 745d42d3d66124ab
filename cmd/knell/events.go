package main

// eventsCmd is the audit trail.
type eventsCmd struct {
	eventsProofCmds `embed:""`
}
