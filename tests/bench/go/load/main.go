// Loads a server as many clients do, and counts. It judges nothing: that is left to Python.
//
// There are three ways (-way):
//
//	connect    each client connects again and again: TCP, a full TLS handshake, one request, its first answer, the end
//	poll       each client keeps its connection, and asks once in a while
//	subscribe  each client keeps its connection, and receives documents
//
// Standard input has commands, one in each line. "run SECONDS" has the clients work for a time, and is answered with a
// line of JSON on standard output; the end of the input ends the program. The first line of output says how many
// connections are there before the first command.
//
// TLS is the same for all servers: TLS 1.3, TLS_AES_128_GCM_SHA256 and X25519, and no session is resumed. A connection
// with another cipher, or a resumed one, counts as an error.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// Settings are those of all clients of this process.
type Settings struct {
	address   string
	plain     bool
	kind      Kind
	path      string
	fields    string // lines of each request after the first one; {n} is another number in each
	say       string // a text message that a WebSocket sends after its handshake
	whole     int    // bytes of a message, an event or an answer that count as a document
	count     int
	every     time.Duration
	phases    time.Duration // the clients' first polls are spread over this time
	condition bool
}

// Kind is what a client asks for.
type Kind string

const (
	request   Kind = "request"   // one answer with a length
	websocket Kind = "websocket" // RFC 6455
	events    Kind = "events"    // server-sent events, with or without chunks
)

// Load is a way to load a server.
type Load interface {
	// Start gives the number of connections that are there when it returns.
	Start() int
	// Run has the clients work for a time.
	Run(time.Duration) *Result
}

// longestRun is the longest time of a command: a mistyped one shall not run for ever.
const longestRun = 10 * time.Minute

func main() {
	settings := &Settings{}
	flag.StringVar(&settings.address, "address", "", "host and port of the server")
	flag.BoolVar(&settings.plain, "plain", false, "without TLS")
	flag.StringVar(&settings.path, "path", "/feed", "path of the requests")
	flag.StringVar(&settings.fields, "fields", "", "lines of each request after the first one, with their ends; {n} is another number in each")
	flag.StringVar(&settings.say, "say", "", "text message that a WebSocket sends after its handshake")
	flag.IntVar(&settings.whole, "whole", 1, "bytes of the payload from which on a message or an answer counts as a document")
	flag.IntVar(&settings.count, "count", 1, "number of clients")
	flag.DurationVar(&settings.every, "every", time.Second, "time from one poll of a client to the next; 0: at once")
	flag.BoolVar(&settings.condition, "condition", false, "send the validators of the answer before")
	kind := flag.String("kind", string(request), "request, websocket or events")
	way := flag.String("way", "connect", "connect, poll or subscribe")
	flag.Parse()
	settings.kind = Kind(*kind)
	switch settings.kind {
	case request, websocket, events:
	default:
		log.Fatalf("-kind: %q is none of request, websocket, events", *kind)
	}

	// The load has one core, and more threads than one would take turns there.
	runtime.GOMAXPROCS(1)
	// Each collection looks at the stacks of all clients, and few of them have made garbage.
	debug.SetGCPercent(400)
	tally := &Tally{}
	var load Load
	switch *way {
	case "connect":
		load = &Connecting{settings: settings, tally: tally}
	case "poll":
		load = &Polling{settings: settings, tally: tally}
	case "subscribe":
		load = &Subscribing{settings: settings, tally: tally}
	default:
		log.Fatalf("-way: %q is none of connect, poll, subscribe", *way)
	}
	print(map[string]any{"connected": load.Start(), "errors": tally.errors, "error": tally.first})
	obey(load)
}

// obey follows the commands until they end.
func obey(load Load) {
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		words := strings.Fields(commands.Text())
		if len(words) != 2 || words[0] != "run" {
			log.Fatalf("unknown command %q", commands.Text())
		}
		seconds, err := strconv.ParseFloat(words[1], 64)
		duration := time.Duration(seconds * float64(time.Second))
		if err != nil || duration <= 0 || duration > longestRun {
			log.Fatalf("run: %q is no time of up to %v", words[1], longestRun)
		}
		print(load.Run(duration))
	}
}

func print(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}
