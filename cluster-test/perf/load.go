package main

import (
	"slices"
	"time"
)

// load is what is sent, over and over: each connection sends one request when the answer to the one before has come.
type load struct {
	addr     string
	requests [][]byte // in turn
	want     []byte   // is in every answer
}

// maxAnswer is the length of the longest answer, in bytes.
const maxAnswer = 8 << 10

// quantile returns the latency below which the share q of them is. It sorts them.
func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[min(len(list)-1, int(q*float64(len(list))))]
}

// median returns the middle one, 0 of none.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}
