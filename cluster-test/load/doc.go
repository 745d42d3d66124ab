// Package load sends an issuer of tokens a load that does not wait for it, and measures what its users would see: how long
// logouts take and why, whether any replica accepts a token after the logout of its session has returned, who refuses, who
// does not answer, and how far replicas are behind.
//
// It owns the schedule, the sessions, the requests and the measurements, all on one clock. It does not know how replicas
// are run or disturbed (packages cluster and fault) nor how results are shown (package report).
package load
