// Holds many watchers of a livefeed, and records their experience. Judging is left to Python.
//
// Each watcher has one goroutine and a source address of its own in 127.0.0.0/8. So limits per address treat it as a
// client of its own, and no pair of addresses runs out of ports.
//
// Standard input has commands, one in each line: "status" is answered with a line of JSON on standard output; "stop",
// or the end of the input, writes the records to their end and exits.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Settings are those of all watchers of this process.
type Settings struct {
	address     string
	path        string
	network     int           // the second number of the source addresses
	first       int           // the number of the first watcher among those of all processes
	every       time.Duration // from one poll to the next
	idleEvery   time.Duration // the same for idle pollers
	rate        float64       // of the first connections, per second
	ignoreSlots bool
	resume      bool
}

var started = time.Now()

// lag is the longest delay of a timer in microseconds, since the last status: of this process, not of the server.
var lag atomic.Int64

func watchLag() {
	const pause = 50 * time.Millisecond
	for {
		before := time.Now()
		time.Sleep(pause)
		late := (time.Since(before) - pause).Microseconds()
		for {
			seen := lag.Load()
			if late <= seen || lag.CompareAndSwap(seen, late) {
				break
			}
		}
	}
}

func main() {
	settings := Settings{}
	counts := map[Kind]*int{}
	for _, kind := range kinds {
		counts[kind] = flag.Int(string(kind), 0, "number of watchers of this kind")
	}
	records := flag.String("records", "", "file for the records")
	flag.StringVar(&settings.address, "address", "", "host and port of livefeed")
	flag.StringVar(&settings.path, "path", "/feed", "path of the feed")
	flag.IntVar(&settings.network, "network", 16, "second number of the source addresses")
	flag.IntVar(&settings.first, "first", 0, "number of the first watcher")
	flag.DurationVar(&settings.every, "every", time.Second, "time from one poll to the next")
	flag.DurationVar(&settings.idleEvery, "idle-every", time.Minute, "time from one poll of an idle poller to the next")
	flag.Float64Var(&settings.rate, "rate", 100, "first connections per second")
	flag.BoolVar(&settings.ignoreSlots, "ignore-slots", false, "come back after one to two seconds in any case")
	flag.BoolVar(&settings.resume, "resume", false, "resume the TLS session of the connection before")
	flag.Parse()

	// One processor is enough for each process: there are several, and the server needs some. With more of them, Go
	// looks for work on the others whenever one has none.
	runtime.GOMAXPROCS(1)
	// Each collection looks at the stacks of all watchers, and few of them have made garbage.
	debug.SetGCPercent(300)
	recorder, err := newRecorder(*records)
	if err != nil {
		log.Fatal(err)
	}
	watchers := []*Watcher{}
	for _, kind := range kinds {
		for range *counts[kind] {
			watchers = append(watchers, newWatcher(&settings, recorder, kind, len(watchers)))
		}
	}
	// The kinds take turns, so that a part of the connections has a part of each kind.
	shuffle(watchers)
	go watchLag()
	go func() {
		begin := time.Now()
		for index, watcher := range watchers {
			time.Sleep(time.Until(begin.Add(time.Duration(float64(index) / settings.rate * float64(time.Second)))))
			go watcher.run()
		}
	}()
	obey(watchers)
	if err := recorder.close(); err != nil {
		log.Fatal(err)
	}
}

// obey follows the commands until they end.
func obey(watchers []*Watcher) {
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		switch commands.Text() {
		case "status":
			line, _ := json.Marshal(status(watchers))
			fmt.Println(string(line))
		case "stop":
			return
		default:
			log.Fatalf("unknown command %q", commands.Text())
		}
	}
}

func status(watchers []*Watcher) map[string]int64 {
	var connected, newest, current int64
	for _, watcher := range watchers {
		newest = max(newest, watcher.number.Load())
	}
	for _, watcher := range watchers {
		if watcher.connected.Load() {
			connected++
			// A poller may be one version behind until its next poll, and another while that is answered.
			if watcher.kind == idle || watcher.number.Load() >= newest-2 {
				current++
			}
		}
	}
	return map[string]int64{
		"watchers":  int64(len(watchers)),
		"connected": connected,
		"newest":    newest,
		"current":   current, // connected, and at most two versions behind, except for idle pollers, which ask too rarely
		"lag_us":    lag.Swap(0),
	}
}

// source gives the address that a watcher connects from: 250 watchers share a network of 256 addresses.
func (settings *Settings) source(index int) *net.TCPAddr {
	return &net.TCPAddr{IP: net.IPv4(127, byte(settings.network), byte(index/250), byte(1+index%250))}
}
