// The program follows items of livefeed on one WebSocket, and prints each change. It verifies each document, and comes
// back when the server says so. Try
//
//	go run . -ca certs/ca.pem wss://localhost:8443/feed.ws /feed/totals
//
// The first item is that of the URL; further ones are named by their paths.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"livefeed/example/items"
)

const (
	subprotocol = "livefeed.delta.v2"
	maxBytes    = 32 << 20
	silence     = 60 * time.Second // the server pings or pushes at least twice in that time, unless an operator says more
)

type follower struct {
	address *url.URL
	dialer  websocket.Dialer
	items   items.Items
	shown   map[string]string
	first   string // the path of the URL's own item
}

func main() {
	authority := flag.String("ca", "", "a file with certificates to trust, besides those of the system")
	changes := flag.Int("changes", 0, "end after that many changes; 0 never")
	flag.Parse()
	if flag.NArg() < 1 {
		log.Fatal("name a URL such as wss://localhost:8443/feed.ws, and further items such as /feed/totals")
	}
	address, err := url.Parse(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	follower := newFollower(address, flag.Args()[1:], *authority)
	left := *changes
	for failures := 0; ; {
		delay, returns := follower.once(&left)
		if *changes > 0 && left <= 0 {
			return
		}
		if !returns {
			log.Fatal("the server asks this client not to come back")
		}
		failures++
		if delay < 0 {
			// Nothing was said: a line broke, or a proxy answered. Longer each time, and each client at another time.
			limit := time.Duration(min(failures, 10)) * 2 * time.Second
			delay = limit/4 + time.Duration(rand.Int63n(int64(limit)))
		} else {
			failures = 0
		}
		time.Sleep(delay)
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func newFollower(address *url.URL, paths []string, authority string) *follower {
	// The path of an item is /NAME and a JSON Pointer, as the messages have it.
	first, pointer, _ := strings.Cut(strings.TrimPrefix(address.Path, "/"), "/")
	first = "/" + strings.TrimSuffix(first, ".ws")
	if pointer != "" {
		first += "/" + pointer
	}
	made := &follower{
		address: address,
		dialer:  websocket.Dialer{Subprotocols: []string{subprotocol}, EnableCompression: true},
		items:   items.Items{ByPath: map[string]*items.Item{}, MaxBytes: maxBytes},
		shown:   map[string]string{},
		first:   first,
	}
	for _, path := range append([]string{first}, paths...) {
		made.items.ByPath[path] = &items.Item{}
	}
	if authority != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pem, err := os.ReadFile(authority)
		if err != nil || !pool.AppendCertsFromPEM(pem) {
			log.Fatal("no certificate could be read from ", authority)
		}
		made.dialer.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return made
}

// request gives the URL with the versions that the client has, so that the server sends only what has changed.
func (follower *follower) request() string {
	query := follower.address.Query()
	for path, item := range follower.items.ByPath {
		version := ""
		if item.Data != nil {
			version = items.VersionOf(item.Data)
		}
		if path != follower.first {
			query.Add("follow", version+path)
		} else if version != "" {
			query.Set("have", version)
		}
	}
	address := *follower.address
	address.RawQuery = query.Encode()
	return address.String()
}

// once follows on one connection. It gives the time after which to come back, which is negative if the server has
// named none, and whether to come back.
func (follower *follower) once(left *int) (time.Duration, bool) {
	connection, answer, err := follower.dialer.Dial(follower.request(), nil)
	if err != nil {
		return refusal(answer, err)
	}
	defer connection.Close()
	if connection.Subprotocol() != subprotocol {
		log.Print("the server does not speak ", subprotocol)
		return 0, false
	}
	// A message with the whole document is somewhat longer than the document: each line feed is an escape.
	connection.SetReadLimit(4 * maxBytes)
	extend := func() { _ = connection.SetReadDeadline(time.Now().Add(silence)) }
	pong := connection.PingHandler()
	connection.SetPingHandler(func(data string) error { extend(); return pong(data) })
	due := map[string]time.Time{} // when to ask again for items that were refused
	for {
		extend()
		var message items.Message
		if err := connection.ReadJSON(&message); err != nil {
			var closed *websocket.CloseError
			if errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure {
				log.Printf("closed with %d: %s", closed.Code, closed.Text)
				return items.Delay(closed.Code, closed.Text)
			}
			log.Print(err)
			return -1, true
		}
		if follow := follower.items.Receive(message); follow != nil {
			log.Printf("%s: a message did not fit, and the document is asked for", follow.Path)
			if err := connection.WriteJSON(follow); err != nil {
				return -1, true
			}
		}
		if message.Type == "refused" {
			log.Printf("%s: refused with %d: %s", message.Path, message.Status, message.Detail)
			if message.Retry != nil {
				due[message.Path] = time.Now().Add(time.Duration(*message.Retry) * time.Millisecond)
			}
		}
		// Messages come at each tick, so a timer is not needed.
		for path, at := range due {
			if time.Now().After(at) {
				delete(due, path)
				if err := connection.WriteJSON(items.Follow{Path: path}); err != nil {
					return -1, true
				}
			}
		}
		if shown := follower.show(); *left > 0 {
			if *left -= shown; *left <= 0 {
				return 0, true
			}
		}
	}
}

// show prints the items that have changed since the last call, and gives their number.
func (follower *follower) show() int {
	changes := 0
	for path, item := range follower.items.ByPath {
		line := item.State
		if item.State != "" && item.IsShown {
			line += " " + items.VersionOf(item.Data) + fmt.Sprintf(" %d bytes", len(item.Data))
		} else if item.State != "" {
			line += " nothing to show"
		}
		if line != follower.shown[path] {
			follower.shown[path] = line
			changes++
			fmt.Println(path, line)
		}
	}
	return changes
}

func refusal(answer *http.Response, err error) (time.Duration, bool) {
	log.Print(err)
	if answer == nil {
		return -1, true
	}
	var seconds int64
	if _, err := fmt.Sscanf(answer.Header.Get("Retry-After"), "%d", &seconds); err == nil && seconds < 86_400 {
		return time.Duration(seconds)*time.Second + time.Duration(rand.Int63n(int64(time.Second))), true
	}
	if answer.StatusCode == http.StatusGone {
		return 30*time.Second + time.Duration(rand.Int63n(int64(30*time.Second))), true
	}
	return -1, answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests
}
