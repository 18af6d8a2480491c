package main

import (
	"bufio"
	"encoding/binary"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Event is the kind of a record. tests/chaos/records.py has the same numbers.
type Event uint16

const (
	connecting    Event = 1 + iota // a connection is tried
	connected                      // detail: microseconds since connecting; status: 16 bits of the certificate's hash
	received                       // detail: the document's number: another one, or the first on this connection
	answered                       // detail: microseconds since the request; status: of HTTP
	closed                         // the server ended the connection; detail: its cause; status: close code
	slot                           // detail: milliseconds until the watcher comes back; status: 1 if the server said so
	connectFailed                  // detail: its cause
	requestFailed                  // detail: its cause; status: of HTTP, if there was an answer
	refused                        // the WebSocket handshake was; status: of HTTP
	reverted                       // the sequence of a message is lower than the one before
	retried                        // a connection ended as a request was sent on it: it is sent again on a new one
)

// The causes of an end.
const (
	byOther    = 0
	byRefusal  = 1 // of the connection
	byReset    = 2
	byEnd      = 3 // an orderly one
	byTimeout  = 4
	byProtocol = 5 // an answer or a message that livefeed does not send
	byFrame    = 6 // a close frame
	byStatus   = 7
)

// A record has 20 bytes: time in microseconds of CLOCK_MONOTONIC, watcher, detail, event, status; little endian.
const recordBytes = 20

// Recorder writes records to a file.
type Recorder struct {
	lock   sync.Mutex
	file   *os.File
	writer *bufio.Writer
	base   int64 // CLOCK_MONOTONIC at the start of the process, in microseconds
}

func newRecorder(path string) (*Recorder, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	// Go's own monotonic clock is the same one, but its value is not accessible.
	var spec syscall.Timespec
	const clockMonotonic = 1
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&spec)), 0); errno != 0 {
		return nil, errno
	}
	base := spec.Nano()/1000 - time.Since(started).Microseconds()
	return &Recorder{file: file, writer: bufio.NewWriterSize(file, 1<<16), base: base}, nil
}

func (recorder *Recorder) write(watcher int, event Event, detail int64, status int) {
	var data [recordBytes]byte
	binary.LittleEndian.PutUint32(data[8:], uint32(watcher))
	binary.LittleEndian.PutUint32(data[12:], uint32(detail))
	binary.LittleEndian.PutUint16(data[16:], uint16(event))
	binary.LittleEndian.PutUint16(data[18:], uint16(status))
	recorder.lock.Lock()
	defer recorder.lock.Unlock()
	// The time is taken under the lock, so that the records of a file are in the order of their times.
	binary.LittleEndian.PutUint64(data[:], uint64(recorder.base+time.Since(started).Microseconds()))
	if recorder.writer != nil {
		recorder.writer.Write(data[:])
	}
}

// close ends the recording: the watchers that still run record no more.
func (recorder *Recorder) close() error {
	recorder.lock.Lock()
	defer recorder.lock.Unlock()
	err := recorder.writer.Flush()
	recorder.writer = nil
	if closing := recorder.file.Close(); err == nil {
		err = closing
	}
	return err
}
