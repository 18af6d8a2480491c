package main

import (
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Result has the figures of a run. All but the times count what has happened since the run before.
//
// Moments are those at which documents were complete: in each pair, tenths of a millisecond since the start of the run,
// and how many there were.
type Result struct {
	Seconds float64    `json:"seconds"`
	Began   float64    `json:"began"` // CLOCK_MONOTONIC at the start of the run, in seconds
	Count   int        `json:"count"` // requests, connections or documents
	Errors  int        `json:"errors"`
	Error   string     `json:"error"` // the first one since the program started
	Bytes   int64      `json:"bytes"` // received, with those of TLS, and without those of TCP and IP
	P50     float64    `json:"p50_ms"`
	P99     float64    `json:"p99_ms"`
	Longest float64    `json:"max_ms"`
	Late    float64    `json:"late_p99_ms"` // the delay of requests by the load itself
	Moments [][2]int64 `json:"moments,omitempty"`
}

const momentUnit = 100 * time.Microsecond

// Tally counts for all clients.
type Tally struct {
	lock    sync.Mutex
	began   time.Time
	count   int
	errors  int
	first   string
	bytes   int64
	waits   []time.Duration
	lates   []time.Duration
	moments []time.Duration // since the start of the program
}

var started = time.Now()

// begin starts a run.
func (tally *Tally) begin() {
	tally.lock.Lock()
	defer tally.lock.Unlock()
	tally.began = time.Now()
}

// done notes an answer or a connection that took a time, and was begun too late by the load.
func (tally *Tally) done(wait, late time.Duration) {
	tally.lock.Lock()
	defer tally.lock.Unlock()
	tally.count++
	tally.waits, tally.lates = append(tally.waits, wait), append(tally.lates, late)
}

// delivered notes documents that a subscriber has received now.
func (tally *Tally) delivered(count int) {
	now := time.Since(started)
	tally.lock.Lock()
	defer tally.lock.Unlock()
	tally.count += count
	for range count {
		tally.moments = append(tally.moments, now)
	}
}

func (tally *Tally) received(count int) {
	tally.lock.Lock()
	tally.bytes += int64(count)
	tally.lock.Unlock()
}

func (tally *Tally) failed(err error) {
	tally.lock.Lock()
	defer tally.lock.Unlock()
	tally.errors++
	if tally.first == "" {
		tally.first = err.Error()
	}
}

// end gives the figures, and begins to count again.
func (tally *Tally) end() *Result {
	tally.lock.Lock()
	defer tally.lock.Unlock()
	elapsed := time.Since(tally.began)
	result := &Result{
		Seconds: elapsed.Seconds(), Began: monotonic() - elapsed.Seconds(), Count: tally.count, Errors: tally.errors,
		Error: tally.first, Bytes: tally.bytes, Moments: grouped(tally.moments, tally.began.Sub(started)),
	}
	result.P50, result.P99, result.Longest = quantiles(tally.waits)
	_, result.Late, _ = quantiles(tally.lates)
	tally.count, tally.errors, tally.bytes = 0, 0, 0
	tally.waits, tally.lates, tally.moments = tally.waits[:0], tally.lates[:0], tally.moments[:0]
	return result
}

// grouped gives the number of moments in each unit of time since the beginning of a run.
func grouped(moments []time.Duration, began time.Duration) [][2]int64 {
	slices.Sort(moments)
	var groups [][2]int64
	for _, moment := range moments {
		unit := int64((moment - began) / momentUnit)
		if last := len(groups) - 1; last >= 0 && groups[last][0] == unit {
			groups[last][1]++
		} else {
			groups = append(groups, [2]int64{unit, 1})
		}
	}
	return groups
}

// quantiles gives the 50th and 99th of 100, and the longest, in milliseconds.
func quantiles(times []time.Duration) (float64, float64, float64) {
	if len(times) == 0 {
		return 0, 0, 0
	}
	slices.Sort(times)
	at := func(percent int) float64 {
		return float64(times[(len(times)-1)*percent/100]) / float64(time.Millisecond)
	}
	return at(50), at(99), at(100)
}

// monotonic gives CLOCK_MONOTONIC in seconds, which Go itself does not tell: Python's time.monotonic() is the same.
func monotonic() float64 {
	var spec syscall.Timespec
	const clockMonotonic = 1
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&spec)), 0)
	return float64(spec.Nano()) / 1e9
}
