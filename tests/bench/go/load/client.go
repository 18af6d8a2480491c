package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	answerLimit = 30 * time.Second // for a handshake or an answer: a server with all clients at once may take long
	bufferBytes = 4608             // for a document of 4 KB in a record of TLS: each is read by one call of the system
	largeBytes  = 17 << 10         // for the longest record of TLS, where documents have several
	maxFrame    = 64 << 20         // of the payload of a frame, in bytes
)

// tlsConfig is that of all clients. Without a cache of sessions, each handshake is a full one. All servers know X25519;
// some would prefer X25519MLKEM768, which costs more.
var tlsConfig = &tls.Config{
	InsecureSkipVerify: true, ServerName: "localhost", MinVersion: tls.VersionTLS13,
	CurvePreferences: []tls.CurveID{tls.X25519},
}

// number counts the requests, for fields that differ in each of them.
var number atomic.Int64

// Client is one connection, and what was read of it.
type Client struct {
	settings *Settings
	tally    *Tally
	conn     net.Conn // nil if there is none
	raw      *bufio.Reader
	reader   *bufio.Reader
	tag      string // of the answer before
	modified string
	size     int      // of the event or message that is being read, in bytes
	last     byte     // the byte before, in an event
	scratch  [10]byte // a frame's head
}

// counted is a connection whose bytes count.
type counted struct {
	net.Conn
	tally *Tally
}

func (conn *counted) Read(data []byte) (int, error) {
	count, err := conn.Conn.Read(data)
	conn.tally.received(count)
	return count, err
}

// buffered is a connection whose bytes are read ahead: TLS asks for the head of a record first, and then for the rest.
type buffered struct {
	net.Conn
	reader *bufio.Reader
}

func (conn *buffered) Read(data []byte) (int, error) { return conn.reader.Read(data) }

func newClient(settings *Settings, tally *Tally) *Client {
	size := bufferBytes
	if settings.whole > size {
		size = largeBytes
	}
	return &Client{
		settings: settings, tally: tally, raw: bufio.NewReaderSize(nil, size), reader: bufio.NewReaderSize(nil, size),
	}
}

// connect makes the connection, with a full handshake if there is TLS.
func (client *Client) connect() error {
	dialer := net.Dialer{Timeout: answerLimit, KeepAlive: -1}
	conn, err := dialer.Dial("tcp", client.settings.address)
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Now().Add(answerLimit))
	var own net.Conn = &counted{conn, client.tally}
	if !client.settings.plain {
		client.raw.Reset(own)
		secured := tls.Client(&buffered{own, client.raw}, tlsConfig)
		if err := secured.Handshake(); err != nil {
			conn.Close()
			return err
		}
		state := secured.ConnectionState()
		if state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 || state.DidResume {
			conn.Close()
			return fmt.Errorf("%s, resumed: %t", tls.CipherSuiteName(state.CipherSuite), state.DidResume)
		}
		own = secured
	}
	client.conn, client.size, client.last = own, 0, 0
	client.reader.Reset(own)
	return nil
}

// close ends the connection as a client does that is not interested any more: TLS's closing alert, and no more.
func (client *Client) close() {
	if client.conn != nil {
		client.conn.Close()
		client.conn = nil
	}
}

// upgrade has the fields of a WebSocket's handshake; the key is that of RFC 6455, 1.3.
const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// ask sends the request.
func (client *Client) ask() error {
	settings := client.settings
	lines := settings.fields
	if strings.Contains(lines, "{n}") || strings.Contains(settings.path, "{n}") {
		lines = strings.ReplaceAll(lines, "{n}", strconv.FormatInt(number.Add(1), 10))
	}
	path := strings.ReplaceAll(settings.path, "{n}", strconv.FormatInt(number.Load(), 10))
	switch settings.kind {
	case websocket:
		lines = upgrade + lines
	case events:
		lines = "Accept: text/event-stream\r\n" + lines
	}
	if settings.condition && client.tag != "" {
		lines += "If-None-Match: " + client.tag + "\r\n"
	}
	if settings.condition && client.modified != "" {
		lines += "If-Modified-Since: " + client.modified + "\r\n"
	}
	if !strings.Contains(lines, "Host: ") {
		lines = "Host: localhost\r\n" + lines
	}
	_, err := io.WriteString(client.conn, "GET "+path+" HTTP/1.1\r\n"+lines+"\r\n")
	return err
}

// head reads the head of an answer. It gives the status, and the length of the content; -1 if there is none.
func (client *Client) head() (int, int, error) {
	line, err := client.reader.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 13 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("an answer begins with %q", line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, 0, err
	}
	length := -1
	for {
		line, err := client.reader.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return status, length, nil
		}
		// Most fields need no comparison but of their lengths.
		colon := bytes.IndexByte(line, ':')
		switch {
		case colon == len("Content-Length") && named(line, "content-length"):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[colon+1:]))); err != nil {
				return 0, 0, err
			}
		case colon == len("ETag") && client.settings.condition && named(line, "etag"):
			client.tag = renewed(client.tag, line[colon+1:])
		case colon == len("Last-Modified") && client.settings.condition && named(line, "last-modified"):
			client.modified = renewed(client.modified, line[colon+1:])
		}
	}
}

func named(line []byte, name string) bool { return strings.EqualFold(string(line[:len(name)]), name) }

// renewed gives a field's value, without a new string where it is the one before.
func renewed(old string, value []byte) string {
	value = bytes.TrimSpace(value)
	if string(value) == old {
		return old
	}
	return string(value)
}

// answer reads an answer and its content. It gives whether that is a document.
func (client *Client) answer() (bool, error) {
	status, length, err := client.head()
	if err != nil {
		return false, err
	}
	if status == 304 {
		return false, nil
	}
	if status != 200 || length < 0 {
		return false, fmt.Errorf("status %d, length %d", status, length)
	}
	if _, err := client.reader.Discard(length); err != nil {
		return false, err
	}
	return length >= client.settings.whole, nil
}

// follow begins to follow: it sends the request, and reads the head of the answer.
func (client *Client) follow() error {
	if err := client.ask(); err != nil {
		return err
	}
	status, _, err := client.head()
	if err != nil {
		return err
	}
	wanted := map[Kind]int{websocket: 101, events: 200}[client.settings.kind]
	if status != wanted {
		return fmt.Errorf("status %d, not %d", status, wanted)
	}
	if client.settings.say != "" {
		return client.send(opText, []byte(client.settings.say))
	}
	return nil
}

// take reads what has come of a stream. It gives the number of documents that ended in it.
func (client *Client) take() (int, error) {
	if client.settings.kind == websocket {
		return client.frame()
	}
	return client.someEvents()
}

// someEvents reads a part of an event stream. An event ends with an empty line. The heads of chunks are read with it:
// none of them is one.
func (client *Client) someEvents() (int, error) {
	if _, err := client.reader.Peek(1); err != nil {
		return 0, err
	}
	data, _ := client.reader.Peek(client.reader.Buffered())
	count, from := 0, 0
	// The end of an event may be in two parts.
	if data[0] == '\n' && client.last == '\n' {
		count += client.finish(1)
		from = 1
	}
	for {
		at := bytes.Index(data[from:], []byte("\n\n"))
		if at < 0 {
			break
		}
		count += client.finish(at + 2)
		from += at + 2
	}
	client.size += len(data) - from
	client.last = data[len(data)-1]
	if from == len(data) {
		client.last = 0
	}
	client.reader.Discard(len(data))
	return count, nil
}

// finish ends an event or a message. It gives 1 if it is a document.
func (client *Client) finish(size int) int {
	size += client.size
	client.size = 0
	if size >= client.settings.whole {
		return 1
	}
	return 0
}

const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// frame reads one frame, and answers a ping. It gives 1 if a document ended in it.
func (client *Client) frame() (int, error) {
	head := client.scratch[:2]
	if _, err := io.ReadFull(client.reader, head); err != nil {
		return 0, err
	}
	isFinal, opcode, length := head[0]&0x80 != 0, head[0]&0x0f, uint64(head[1])
	if length > 127 {
		return 0, errors.New("a frame of the server is masked")
	}
	if length > 125 {
		more := client.scratch[2 : 2+map[uint64]int{126: 2, 127: 8}[length]]
		if _, err := io.ReadFull(client.reader, more); err != nil {
			return 0, err
		}
		length = 0
		for _, each := range more {
			length = length<<8 | uint64(each)
		}
	}
	if length > maxFrame {
		return 0, fmt.Errorf("a frame of %d bytes", length)
	}
	if opcode >= opClose {
		payload := make([]byte, length)
		if _, err := io.ReadFull(client.reader, payload); err != nil {
			return 0, err
		}
		switch opcode {
		case opPing:
			return 0, client.send(opPong, payload)
		case opClose:
			return 0, fmt.Errorf("the server closes: %q", payload)
		}
		return 0, nil
	}
	if _, err := client.reader.Discard(int(length)); err != nil {
		return 0, err
	}
	if !isFinal {
		client.size += int(length)
		return 0, nil
	}
	return client.finish(int(length)), nil
}

// send writes a frame; its mask is zeros, so that the payload stays as it is (RFC 6455, 5.3).
func (client *Client) send(opcode byte, payload []byte) error {
	frame := []byte{0x80 | opcode}
	if len(payload) > 125 {
		frame = append(frame, 0x80|126, byte(len(payload)>>8), byte(len(payload)))
	} else {
		frame = append(frame, 0x80|byte(len(payload)))
	}
	_, err := client.conn.Write(append(append(frame, 0, 0, 0, 0), payload...))
	return err
}
