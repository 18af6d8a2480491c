package main

import (
	"sync"
	"time"
)

// atATime is the number of connections that are opened at a time before the first command, and again after errors: of
// 200, the last one waited for longer than servers wait for a handshake, on a machine with other work.
const atATime = 50

// Connecting has each client connect again and again.
type Connecting struct {
	settings *Settings
	tally    *Tally
}

// Start opens nothing.
func (load *Connecting) Start() int { return 0 }

// Run returns when the last connection has been served that was begun in time.
func (load *Connecting) Run(duration time.Duration) *Result {
	load.tally.begin()
	until := time.Now().Add(duration)
	var clients sync.WaitGroup
	for range load.settings.count {
		clients.Add(1)
		go func() {
			defer clients.Done()
			client := newClient(load.settings, load.tally)
			for begun := time.Now(); begun.Before(until); begun = time.Now() {
				if err := client.visit(); err != nil {
					load.tally.failed(err)
					time.Sleep(100 * time.Millisecond) // a server that refuses is not to be asked as fast as possible
				} else {
					load.tally.done(time.Since(begun), 0)
				}
				client.close()
			}
		}()
	}
	clients.Wait()
	return load.tally.end()
}

// visit connects, and reads until the first document.
func (client *Client) visit() error {
	if err := client.connect(); err != nil {
		return err
	}
	if client.settings.kind == request {
		if err := client.ask(); err != nil {
			return err
		}
		_, err := client.answer()
		return err
	}
	if err := client.follow(); err != nil {
		return err
	}
	for {
		if count, err := client.take(); err != nil || count > 0 {
			return err
		}
	}
}

// opened gives clients with connections, those of which none could be opened left out.
func opened(settings *Settings, tally *Tally, open func(*Client) error) []*Client {
	numbers := make(chan int)
	found := make([]*Client, settings.count)
	var openers sync.WaitGroup
	for range atATime {
		openers.Add(1)
		go func() {
			defer openers.Done()
			for number := range numbers {
				client := newClient(settings, tally)
				if err := open(client); err != nil {
					tally.failed(err)
					client.close()
					continue
				}
				client.conn.SetDeadline(time.Time{})
				found[number] = client
			}
		}()
	}
	for number := range settings.count {
		numbers <- number
	}
	close(numbers)
	openers.Wait()
	clients := []*Client{}
	for _, client := range found {
		if client != nil {
			clients = append(clients, client)
		}
	}
	return clients
}

// Polling has each client ask at its own time of the period, on the same connection.
type Polling struct {
	settings *Settings
	tally    *Tally
	clients  []*Client
}

// Start opens the connections, and asks once on each.
func (load *Polling) Start() int {
	load.clients = opened(load.settings, load.tally, func(client *Client) error {
		if err := client.connect(); err != nil {
			return err
		}
		return client.poll()
	})
	return len(load.clients)
}

func (client *Client) poll() error {
	client.conn.SetDeadline(time.Now().Add(answerLimit))
	if err := client.ask(); err != nil {
		return err
	}
	_, err := client.answer()
	return err
}

// Run returns when the last request has been answered that was due in time.
func (load *Polling) Run(duration time.Duration) *Result {
	load.tally.begin()
	start := time.Now()
	until := start.Add(duration)
	var clients sync.WaitGroup
	for number, client := range load.clients {
		clients.Add(1)
		due := start.Add(load.settings.every * time.Duration(number) / time.Duration(len(load.clients)))
		go func() {
			defer clients.Done()
			for due.Before(until) {
				time.Sleep(time.Until(due))
				late := time.Since(due)
				if err := client.again(); err != nil {
					load.tally.failed(err)
					client.close()
				} else {
					// From when it was due: a client that waits for one answer does not ask for the next one.
					load.tally.done(time.Since(due), late)
				}
				due = due.Add(load.settings.every)
				if load.settings.every == 0 {
					due = time.Now()
				}
			}
		}()
	}
	clients.Wait()
	return load.tally.end()
}

// again polls, on a new connection if the one before has ended.
func (client *Client) again() error {
	if client.conn == nil {
		if err := client.connect(); err != nil {
			return err
		}
	}
	return client.poll()
}

// Subscribing has each client follow: by messages, by events, or by requests each of which waits for the next version.
type Subscribing struct {
	settings *Settings
	tally    *Tally
}

// Start opens the connections. From then on the clients receive, also between the runs.
func (load *Subscribing) Start() int {
	clients := opened(load.settings, load.tally, func(client *Client) error {
		if err := client.connect(); err != nil {
			return err
		}
		if load.settings.kind == request {
			return client.ask()
		}
		return client.follow()
	})
	for _, client := range clients {
		go client.receive()
	}
	return len(clients)
}

// receive counts documents until the connection ends.
func (client *Client) receive() {
	defer client.close()
	for {
		count, err := client.next()
		if err != nil {
			client.tally.failed(err)
			return
		}
		if count > 0 {
			client.tally.delivered(count)
		}
	}
}

// next waits for the next part of a stream, or for the next answer, and then asks again.
func (client *Client) next() (int, error) {
	if client.settings.kind != request {
		return client.take()
	}
	isDocument, err := client.answer()
	if err != nil {
		return 0, err
	}
	if isDocument {
		return 1, client.ask()
	}
	return 0, client.ask()
}

// Run counts for a time.
func (load *Subscribing) Run(duration time.Duration) *Result {
	load.tally.begin()
	time.Sleep(duration)
	return load.tally.end()
}
