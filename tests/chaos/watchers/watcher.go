package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Kind is a way to watch, and the name of the option that says how many watchers there are.
type Kind string

const (
	websocket Kind = "websockets"
	delta     Kind = "deltas"
	poller    Kind = "pollers"
	idle      Kind = "idle"
)

var kinds = []Kind{websocket, delta, poller, idle}

const (
	connectLimit = 15 * time.Second // for the connection, TLS and the first request
	answerLimit  = 15 * time.Second // for an answer
	silenceLimit = 90 * time.Second // of a subscriber: livefeed sends a byte every 30 s
	maxFrame     = 4 << 20
	bufferBytes  = 4608 // for a document of 4 KB in a record of TLS: each is read by one call of the system
)

// Watcher is one client.
type Watcher struct {
	settings  *Settings
	recorder  *Recorder
	kind      Kind
	id        int
	source    *net.TCPAddr
	config    *tls.Config
	connected atomic.Bool
	number    atomic.Int64 // of the newest document
	epoch     int64
	count     int64 // of the sequence
	version   string
	tag       string
	conn      *tls.Conn
	raw       *bufio.Reader // of the bytes of TLS
	reader    *bufio.Reader
	nextPoll  time.Time
	isNew     bool // no document has come on this connection yet
}

// buffered is a connection whose bytes are read ahead: TLS asks for the head of a record first, and then for the rest.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (conn *buffered) Read(data []byte) (int, error) { return conn.reader.Read(data) }

// ending is the end of a connection by the server, or the failure of one.
type ending struct {
	cause  int64
	code   int           // of the close frame or of HTTP
	slot   time.Duration // until the server wants the client back
	isSlot bool
}

func (end *ending) Error() string { return fmt.Sprintf("cause %d, code %d", end.cause, end.code) }

func newWatcher(settings *Settings, recorder *Recorder, kind Kind, index int) *Watcher {
	config := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}
	if settings.resume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return &Watcher{
		settings: settings, recorder: recorder, kind: kind, id: settings.first + index,
		source: settings.source(index), config: config, epoch: -1, raw: bufio.NewReaderSize(nil, bufferBytes),
	}
}

func shuffle(watchers []*Watcher) {
	random := rand.New(rand.NewSource(1))
	random.Shuffle(len(watchers), func(a, b int) { watchers[a], watchers[b] = watchers[b], watchers[a] })
}

func (watcher *Watcher) record(event Event, detail int64, status int) {
	watcher.recorder.write(watcher.id, event, detail, status)
}

func (watcher *Watcher) run() {
	for {
		var end *ending
		if err := watcher.connect(); err != nil {
			end = endingOf(err)
			watcher.record(connectFailed, end.cause, 0)
		} else if watcher.kind == websocket || watcher.kind == delta {
			end = watcher.subscribe()
		} else {
			end = watcher.poll()
		}
		watcher.connected.Store(false)
		if watcher.conn != nil {
			watcher.conn.NetConn().Close()
			watcher.conn = nil
		}
		time.Sleep(watcher.pause(end))
	}
}

// pause gives the time until the next connection, and records it.
func (watcher *Watcher) pause(end *ending) time.Duration {
	pause, told := time.Second+time.Duration(rand.Int63n(int64(time.Second))), 0
	if end.isSlot && !watcher.settings.ignoreSlots {
		pause, told = end.slot, 1
	}
	watcher.record(slot, pause.Milliseconds(), told)
	watcher.nextPoll = time.Now().Add(pause)
	return pause
}

func (watcher *Watcher) connect() error {
	watcher.record(connecting, 0, 0)
	begin := time.Now()
	dialer := net.Dialer{LocalAddr: watcher.source, Timeout: connectLimit, KeepAlive: -1}
	raw, err := dialer.Dial("tcp", watcher.settings.address)
	if err != nil {
		return err
	}
	watcher.raw.Reset(raw)
	watcher.conn = tls.Client(&buffered{raw, watcher.raw}, watcher.config)
	raw.SetDeadline(begin.Add(connectLimit))
	if err := watcher.conn.Handshake(); err != nil {
		return err
	}
	certificate := crc32.ChecksumIEEE(watcher.conn.ConnectionState().PeerCertificates[0].Raw)
	raw.SetDeadline(time.Time{})
	if watcher.reader == nil {
		watcher.reader = bufio.NewReaderSize(watcher.conn, bufferBytes)
	} else {
		watcher.reader.Reset(watcher.conn)
	}
	watcher.isNew = true
	watcher.record(connected, time.Since(begin).Microseconds(), int(certificate&0xffff))
	return nil
}

// head is the part of an answer's head that watchers look at.
type head struct {
	status   int
	length   int
	tag      string
	sequence string
	retry    time.Duration
	isRetry  bool
	closes   bool
}

// fields has the names of the fields that are read, by their lengths: most others need no comparison.
var fields = [32]string{
	4: "ETag", 10: "Connection", 11: "Retry-After", 14: "Content-Length", 17: "Livefeed-Sequence",
}

func (watcher *Watcher) readHead() (*head, error) {
	line, err := watcher.reader.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 13 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return nil, &ending{cause: byProtocol}
	}
	answer := &head{}
	if answer.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return nil, &ending{cause: byProtocol}
	}
	for {
		line, err := watcher.reader.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return answer, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(name) >= len(fields) {
			continue
		}
		value = bytes.TrimSpace(value)
		switch field := fields[len(name)]; {
		case field == "" || !strings.EqualFold(string(name), field):
		case field == "Content-Length":
			answer.length, err = strconv.Atoi(string(value))
		case field == "ETag":
			answer.tag = string(value)
		case field == "Livefeed-Sequence":
			answer.sequence = string(value)
		case field == "Connection":
			answer.closes = bytes.EqualFold(value, []byte("close"))
		case field == "Retry-After":
			var seconds int
			seconds, err = strconv.Atoi(string(value))
			// The seconds are whole, so that each client adds a part of a second.
			answer.retry = time.Duration(seconds)*time.Second + time.Duration(rand.Int63n(int64(time.Second)))
			answer.isRetry = true
		}
		if err != nil {
			return nil, &ending{cause: byProtocol}
		}
	}
}

// readBody leaves the content out, after it has looked for the document's number.
func (watcher *Watcher) readBody(length int, isDocument bool) error {
	beginning, err := watcher.reader.Peek(min(length, 64))
	if err != nil {
		return err
	}
	if isDocument {
		number, ok := numberOf(beginning)
		if !ok {
			return &ending{cause: byProtocol}
		}
		watcher.take(number)
	}
	_, err = watcher.reader.Discard(length)
	return err
}

// numberOf gives the number of a document from its beginning: {"n": 17, ...
func numberOf(beginning []byte) (int64, bool) {
	rest, ok := bytes.CutPrefix(beginning, []byte(`{"n":`))
	if !ok {
		return 0, false
	}
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0, false
	}
	number, err := strconv.ParseInt(strings.TrimSpace(string(rest[:end])), 10, 64)
	return number, err == nil
}

func (watcher *Watcher) take(number int64) {
	if watcher.number.Swap(number) != number || watcher.isNew {
		watcher.isNew = false
		watcher.record(received, number, 0)
	}
}

// takeSequence compares a sequence with the one before.
func (watcher *Watcher) takeSequence(sequence string) error {
	first, second, _ := strings.Cut(sequence, ".")
	epoch, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return &ending{cause: byProtocol}
	}
	count, err := strconv.ParseInt(second, 10, 64)
	if err != nil {
		return &ending{cause: byProtocol}
	}
	if epoch < watcher.epoch || (epoch == watcher.epoch && count < watcher.count) {
		watcher.record(reverted, 0, 0)
	}
	watcher.epoch, watcher.count = epoch, count
	return nil
}

// poll asks again and again on one connection, until that ends.
func (watcher *Watcher) poll() *ending {
	every := watcher.settings.every
	if watcher.kind == idle {
		every = watcher.settings.idleEvery
	}
	isFirst := true
	if watcher.nextPoll.IsZero() {
		watcher.nextPoll = time.Now()
	}
	for {
		begin := time.Now()
		answer, begun, err := watcher.ask()
		if err != nil {
			end := endingOf(err)
			if !isFirst && !begun && (end.cause == byReset || end.cause == byEnd) {
				// The connection ended while the request was on its way: HTTP clients send it again by themselves.
				watcher.record(retried, end.cause, 0)
			} else {
				watcher.record(requestFailed, end.cause, end.code)
			}
			watcher.record(closed, end.cause, 0)
			return end
		}
		watcher.record(answered, time.Since(begin).Microseconds(), answer.status)
		good := answer.status == 200 || answer.status == 304
		if !good {
			watcher.record(requestFailed, byStatus, answer.status)
		}
		watcher.connected.Store(good)
		isFirst = false
		for !watcher.nextPoll.After(time.Now()) {
			watcher.nextPoll = watcher.nextPoll.Add(every)
		}
		end := &ending{cause: byStatus, slot: answer.retry, isSlot: answer.isRetry}
		if !end.isSlot && good {
			// A poller without a slot comes back for its next poll.
			end.slot, end.isSlot = time.Until(watcher.nextPoll), true
		}
		if answer.closes || !good {
			watcher.record(closed, byStatus, answer.status)
			return end
		}
		if answer.isRetry && !watcher.settings.ignoreSlots {
			watcher.record(slot, answer.retry.Milliseconds(), 1)
			watcher.nextPoll = time.Now().Add(answer.retry)
		}
		// An end of the connection is noticed between the polls, as in every client with a pool of connections.
		watcher.conn.SetReadDeadline(watcher.nextPoll)
		_, err = watcher.reader.Peek(1)
		if err == nil {
			watcher.record(closed, byProtocol, 0)
			return &ending{cause: byProtocol}
		}
		if end := endingOf(err); end.cause != byTimeout {
			watcher.record(closed, end.cause, 0)
			return &ending{cause: end.cause, slot: time.Until(watcher.nextPoll), isSlot: true}
		}
	}
}

// ask sends one request. It gives the answer, and whether one had begun.
func (watcher *Watcher) ask() (*head, bool, error) {
	// A request is too short for its write to wait.
	watcher.conn.SetReadDeadline(time.Now().Add(answerLimit))
	condition := ""
	if watcher.tag != "" {
		condition = "If-None-Match: " + watcher.tag + "\r\n"
	}
	request := "GET " + watcher.settings.path + " HTTP/1.1\r\nHost: localhost\r\n" + condition + "\r\n"
	if _, err := io.WriteString(watcher.conn, request); err != nil {
		return nil, false, err
	}
	if _, err := watcher.reader.Peek(1); err != nil {
		return nil, false, err
	}
	answer, err := watcher.readHead()
	if err != nil {
		return nil, true, err
	}
	if answer.status != 304 && answer.length > 0 {
		if err := watcher.readBody(answer.length, answer.status == 200); err != nil {
			return nil, true, err
		}
	}
	if answer.status == 200 || answer.status == 304 {
		watcher.tag = answer.tag
		if err := watcher.takeSequence(answer.sequence); err != nil {
			return nil, true, err
		}
	}
	return answer, true, nil
}

// subscribe follows by WebSocket until the connection ends.
func (watcher *Watcher) subscribe() *ending {
	if err := watcher.upgrade(); err != nil {
		end := endingOf(err)
		if end.cause == byStatus {
			watcher.record(refused, 0, end.code)
		} else {
			watcher.record(requestFailed, end.cause, 0)
		}
		return end
	}
	watcher.connected.Store(true)
	for {
		if err := watcher.frame(); err != nil {
			end := endingOf(err)
			watcher.record(closed, end.cause, end.code)
			return end
		}
	}
}

func (watcher *Watcher) upgrade() error {
	protocol, query := "", ""
	if watcher.kind == delta {
		protocol = "Sec-WebSocket-Protocol: livefeed.delta.v1\r\n"
		if watcher.version != "" {
			query = "?have=" + watcher.version
		}
	}
	request := "GET " + watcher.settings.path + ".ws" + query + " HTTP/1.1\r\nHost: localhost\r\n" +
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + protocol + "\r\n"
	watcher.conn.SetDeadline(time.Now().Add(connectLimit))
	defer watcher.conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(watcher.conn, request); err != nil {
		return err
	}
	answer, err := watcher.readHead()
	if err != nil {
		return err
	}
	if answer.status != 101 {
		return &ending{cause: byStatus, code: answer.status, slot: answer.retry, isSlot: answer.isRetry}
	}
	return nil
}

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// frame reads one frame, and does as it asks.
func (watcher *Watcher) frame() error {
	watcher.conn.SetReadDeadline(time.Now().Add(silenceLimit))
	beginning, err := watcher.reader.Peek(2)
	if err != nil {
		return err
	}
	opcode, length := beginning[0]&0x0f, uint64(beginning[1])
	if beginning[0]&0xf0 != 0x80 || length > 127 {
		return &ending{cause: byProtocol}
	}
	watcher.reader.Discard(2)
	if length > 125 {
		extra := 2
		if length == 127 {
			extra = 8
		}
		more, err := watcher.reader.Peek(extra)
		if err != nil {
			return err
		}
		length = 0
		for _, each := range more {
			length = length<<8 | uint64(each)
		}
		watcher.reader.Discard(extra)
	}
	if length > maxFrame {
		return &ending{cause: byProtocol}
	}
	if opcode == opText && watcher.kind == websocket {
		return watcher.readBody(int(length), true)
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(watcher.reader, payload); err != nil {
		return err
	}
	switch opcode {
	case opText:
		return watcher.takeMessage(payload)
	case opPing:
		return watcher.send(opPong, payload)
	case opClose:
		watcher.send(opClose, payload)
		return closing(payload)
	}
	return nil
}

// send writes a frame; its mask is zeros, so that the payload stays as it is (RFC 6455, 5.3).
func (watcher *Watcher) send(opcode byte, payload []byte) error {
	watcher.conn.SetWriteDeadline(time.Now().Add(answerLimit))
	frame := append([]byte{0x80 | opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
	_, err := watcher.conn.Write(frame)
	return err
}

// closing gives the end that a close frame asks for.
func closing(payload []byte) *ending {
	end := &ending{cause: byFrame}
	if len(payload) < 2 {
		return end
	}
	end.code = int(binary.BigEndian.Uint16(payload))
	milliseconds := 0
	_, told, _ := strings.Cut(string(payload[2:]), "come back in ")
	if count, _ := fmt.Sscanf(told, "%d ms", &milliseconds); count != 1 {
		if end.code < 3000 || end.code >= 3500 {
			return end
		}
		// A code cannot say more than 9980 ms, so the reason comes first.
		milliseconds = (end.code - 3000) * 20
	}
	end.slot, end.isSlot = time.Duration(milliseconds)*time.Millisecond, true
	return end
}

// message is one of livefeed.delta.v1.
type message struct {
	Type     string          `json:"type"`
	Version  string          `json:"version"`
	Sequence string          `json:"sequence"`
	From     string          `json:"from"`
	Data     json.RawMessage `json:"data"`
	Patch    []struct {
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	} `json:"patch"`
}

func (watcher *Watcher) takeMessage(text []byte) error {
	var found message
	if err := json.Unmarshal(text, &found); err != nil {
		return &ending{cause: byProtocol}
	}
	if err := watcher.takeSequence(found.Sequence); err != nil {
		return err
	}
	switch found.Type {
	case "snapshot":
		number, ok := numberOf(found.Data)
		if !ok {
			return &ending{cause: byProtocol}
		}
		watcher.version = found.Version
		watcher.take(number)
	case "patch":
		if found.From != watcher.version {
			return &ending{cause: byProtocol}
		}
		watcher.version = found.Version
		for _, operation := range found.Patch {
			if operation.Path == "/n" {
				number, err := strconv.ParseInt(string(operation.Value), 10, 64)
				if err != nil {
					return &ending{cause: byProtocol}
				}
				watcher.take(number)
			}
		}
	case "heartbeat":
		if found.Version != watcher.version {
			return &ending{cause: byProtocol}
		}
		watcher.take(watcher.number.Load())
	}
	return nil
}

func endingOf(err error) *ending {
	var end *ending
	var timeout net.Error
	switch {
	case errors.As(err, &end):
		return end
	case errors.Is(err, syscall.ECONNREFUSED):
		return &ending{cause: byRefusal}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &ending{cause: byReset}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &ending{cause: byEnd}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &ending{cause: byTimeout}
	}
	return &ending{cause: byOther}
}
