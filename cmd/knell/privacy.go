package main

import "github.com/knell-auth/knell/node"

// privacyFlags are the settings of what is recorded of those who ask.
type privacyFlags struct {
	RecordAddress string `env:"KNELL_RECORD_ADDRESS" enum:"plain,truncated,hashed,none" default:"plain" placeholder:"HOW" help:"What events say of a client's address: plain, truncated (its network), hashed (under a key of the log) or none."`
	RecordAgent   string `env:"KNELL_RECORD_AGENT" enum:"plain,hashed,none" default:"plain" placeholder:"HOW" help:"What events say of a client's User-Agent: plain, hashed or none."`
}

// recording returns the settings of package node.
func (f *privacyFlags) recording() node.Recording {
	return node.Recording{Address: f.RecordAddress, Agent: f.RecordAgent}
}
