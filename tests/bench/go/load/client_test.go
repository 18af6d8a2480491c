package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// pieces is a connection whose bytes come in pieces of a size, and that keeps what is written.
type pieces struct {
	net.Conn
	data    []byte
	size    int
	written bytes.Buffer
}

func (conn *pieces) Read(data []byte) (int, error) {
	if len(conn.data) == 0 {
		return 0, io.EOF
	}
	count := copy(data, conn.data[:min(conn.size, len(conn.data))])
	conn.data = conn.data[count:]
	return count, nil
}

func (conn *pieces) Write(data []byte) (int, error) { return conn.written.Write(data) }

func client(kind Kind, data string, size int) (*Client, *pieces) {
	conn := &pieces{data: []byte(data), size: size}
	found := newClient(&Settings{kind: kind, whole: 3, condition: true}, &Tally{})
	found.conn, found.reader = conn, bufio.NewReader(conn)
	return found, conn
}

// taken gives the number of documents until the connection ends, and what ended it.
func taken(client *Client) (int, error) {
	for count := 0; ; {
		more, err := client.take()
		count += more
		if err != nil {
			return count, err
		}
	}
}

func frame(first byte, payload string) string {
	switch length := len(payload); {
	case length < 126:
		return string([]byte{first, byte(length)}) + payload
	case length < 1<<16:
		return string([]byte{first, 126, byte(length >> 8), byte(length)}) + payload
	default:
		return string([]byte{first, 127, 0, 0, 0, 0, 0, byte(length >> 16), byte(length >> 8), byte(length)}) + payload
	}
}

var sizes = []int{1, 2, 3, 7, 125, 4096, 1 << 20}

// Messages of all lengths count in pieces of any size; fragments are one message, and short ones are none. A ping is
// answered, also between fragments.
func TestFrames(t *testing.T) {
	data := frame(0x81, "ab")
	for _, length := range []int{3, 125, 126, 65535, 65536} {
		data += frame(0x81, strings.Repeat("x", length))
	}
	data += frame(0x01, "ab") + frame(0x89, "hm") + frame(0x00, "") + frame(0x80, "c") + frame(0xc1, "def") + frame(0x8a, "")
	for _, size := range sizes {
		client, conn := client(websocket, data, size)
		if count, err := taken(client); count != 7 || !errors.Is(err, io.EOF) {
			t.Errorf("pieces of %d: %d messages, %v", size, count, err)
		}
		if pong := string(conn.written.Bytes()); pong != "\x8a\x82\x00\x00\x00\x00hm" {
			t.Errorf("pieces of %d: %q", size, pong)
		}
	}
}

// A close frame ends a connection, and so does a frame that servers may not send.
func TestEnds(t *testing.T) {
	for data, text := range map[string]string{
		frame(0x88, "\x03\xe8"):                    `the server closes: "\x03\xe8"`,
		"\x81\x81abcd ":                            "a frame of the server is masked",
		"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff": "a frame of 18446744073709551615 bytes",
	} {
		client, _ := client(websocket, frame(0x81, "abc")+data, 4096)
		if count, err := taken(client); count != 1 || err.Error() != text {
			t.Errorf("%q: %d messages, %v", data, count, err)
		}
	}
}

// Events count in pieces of any size, whether or not they come in chunks; comments are too short.
func TestEvents(t *testing.T) {
	plain := "data: abc\n\n:\n\nid: 1\ndata: {\"a\": 1}\ndata: 2\n\n" + "data: " + strings.Repeat("x", 9999) + "\n\n"
	chunked := "b\r\ndata: abc\n\n\r\n" + "4\r\ndata\r\n" + "6\r\n: abc\n\r\n1\r\n\n\r\n"
	for _, size := range sizes {
		client, _ := client(events, plain, size)
		client.settings.whole = 4
		if count, err := taken(client); count != 3 || !errors.Is(err, io.EOF) {
			t.Errorf("pieces of %d: %d events, %v", size, count, err)
		}
	}
	for _, size := range sizes {
		client, _ := client(events, chunked, size)
		if count, err := taken(client); count != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("chunks in pieces of %d: %d events, %v", size, count, err)
		}
	}
}

// Heads are read in pieces of any size; the validators are kept for the next request.
func TestAnswers(t *testing.T) {
	const tags = "eTag: \"a\"\r\nLast-Modified: yesterday\r\n"
	data := "HTTP/1.1 200 OK\r\n" + tags + "Content-length: 3\r\nX: y\r\n\r\nabc" +
		"HTTP/1.1 304 Not Modified\r\n" + tags + "\r\n" +
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab" +
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
	for _, size := range sizes {
		client, conn := client(request, data, size)
		for number, wanted := range []bool{true, false, false} {
			if isDocument, err := client.answer(); isDocument != wanted || err != nil {
				t.Errorf("pieces of %d, answer %d: %t, %v", size, number, isDocument, err)
			}
		}
		if _, err := client.answer(); err == nil || err.Error() != "status 503, length 0" {
			t.Errorf("pieces of %d: %v", size, err)
		}
		client.settings.path, client.settings.fields = "/feed?{n}", "A: {n}\r\n"
		first := number.Load() + 1
		client.ask()
		wanted := strings.ReplaceAll("GET /feed?{n} HTTP/1.1\r\nHost: localhost\r\nA: {n}\r\nIf-None-Match: \"a\"\r\n"+
			"If-Modified-Since: yesterday\r\n\r\n", "{n}", strconv.FormatInt(first, 10))
		if asked := conn.written.String(); asked != wanted {
			t.Errorf("pieces of %d: %q", size, asked)
		}
	}
}
