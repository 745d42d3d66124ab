//go:build !knell_break

package natsd

// breakable says whether Config.NoSync is obeyed.
const breakable = false
