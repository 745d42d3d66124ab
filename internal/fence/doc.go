// Package fence decides two questions for one replica: may it answer now (the lease), and when has every other replica
// stopped answering from before a given event (the barrier). It is a pure state machine: beats, reports and clock
// readings go in, decisions come out. It owns no clock, goroutine, connection or log, and does not know what a token,
// a session or a NATS message is. Whoever drives it (package node) must keep the duties that the comments name.
//
// # Lease
//
// Nothing that a log server says proves that a reader is current. One thing does: a message that the replica itself
// appended comes back through its own, gap-free reading of the log. The replica notes its clocks, appends a beat, and
// when its apply loop reaches that beat it holds a lease for the length L, counted from the noted reading. It has then
// applied everything that was in the log when the beat was appended.
//
// A reader takes three steps, in this order: load the lease; look at the state; read the clocks and ask that same lease
// whether it is valid. With another order the lease may be newer than the state that was looked at. The clocks are read
// each time. A lease ends as soon as either clock shows L, or a clock runs backwards past the noted reading.
//
// # Horizon
//
// All replicas read the same beats. Replica o applied the beat of m when its clock showed t; the beat was sent before
// that. While o's clock advances L(1+rho), m's advances at least L, because clock rates differ by less than rho = 0.1.
// So the lease from this beat ends before t + L(1+rho) on o's clock: its horizon. Horizons are dated on the monotonic
// clock alone: it may stand still while a machine sleeps, and then o waits too long, never too short.
//
// # Barrier
//
// A command that must be seen everywhere appends its event and waits until its own apply loop has reached it, at
// sequence S. Another replica can still answer from before S only under a lease from a beat before S: a later beat
// grants a lease to who has applied S first. Beats before S have all been applied here. So the barrier of S waits for
// every incarnation whose newest beat before S has a horizon in the future and that has not reported S or more as
// applied, until it reports, leaves, or its horizon passes. Later beats neither add nor extend.
//
// An incarnation is one life of one replica, named by a random number. Beats, reports and leaves count for the life that
// they name and for no other: a former life may be asleep, not dead.
//
// # Why a threshold
//
// An incarnation whose oldest beat with a future horizon is at sequence b, and that has reported r, holds up exactly
// the barriers of sequences above max(b, r). So at any instant the complete barriers are those up to one sequence, the
// least such maximum; they complete in the order of the log, and no barrier stores a set of its own.
//
// # Prior art
//
// C. Gray and D. Cheriton, Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache Consistency (SOSP
// 1989): a write waits for the holder's approval or for the end of its lease, and bounded clock drift is the one
// assumption on time. M. Burrows, The Chubby lock service for loosely-coupled distributed systems (OSDI 2006): a
// write waits until every cache is invalidated or its session's lease has run out.
package fence
