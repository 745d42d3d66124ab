//go:build !knell_break

package fence

// Breakable says whether a program may set Config.Break, from an environment variable for instance. It is false in every
// build but those with the tag knell_break, which exist so that tests of whole clusters can be seen to fail.
const Breakable = false
