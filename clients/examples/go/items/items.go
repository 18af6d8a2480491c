// Package items keeps the documents of one connection of livefeed.delta.v2: it applies each message, verifies the
// result, and says what to show and what to send. It knows no connection and no clock. The protocol is in
// docs/reference/protocol.md.
package items

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
)

// maxNumber is the largest number in splices: 53 bits.
const maxNumber = 1<<53 - 1

var errSplices = errors.New("the splices do not fit")

// Message is a message of the server. Members that are not here are ignored.
type Message struct {
	Type    string          `json:"type"`
	Path    string          `json:"path"`
	Version string          `json:"version"`
	State   string          `json:"state"`
	Text    string          `json:"text"`
	From    string          `json:"from"`
	Splices json.RawMessage `json:"splices"`
	Status  int             `json:"status"`
	Detail  string          `json:"detail"`
	Retry   *int64          `json:"retry"`
}

// Follow is the question for an item. Have is nil for the whole document.
type Follow struct {
	Path string  `json:"follow"`
	Have *string `json:"have"`
}

// Item is a document or a part of one.
type Item struct {
	Data    []byte // the bytes that splices begin from; nil for none
	State   string // the state to show; "" before the first message
	IsShown bool   // whether Data is to be shown
	Refused bool   // whether the server has refused it, so that it is not on the connection
}

// Items are the items that one connection follows, by path. MaxBytes limits the size of each.
type Items struct {
	ByPath   map[string]*Item
	MaxBytes int
}

// VersionOf gives the version of a document: the first 32 hexadecimal digits of its SHA-256.
func VersionOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// Receive applies a message. It gives the question to send if the message did not fit, and otherwise nil.
func (items *Items) Receive(message Message) *Follow {
	if message.Type == "heartbeat" && !strings.Contains(strings.TrimPrefix(message.Path, "/"), "/") {
		// The state of the whole holds for its parts, except for those that are hidden. Of those that are refused it may
		// only hide the document.
		for path, item := range items.ByPath {
			if strings.HasPrefix(path, message.Path+"/") && item.IsShown && (!item.Refused || hides(message.State)) {
				item.take(message.State)
			}
		}
	}
	item := items.ByPath[message.Path]
	if item == nil {
		return nil
	}
	switch message.Type {
	case "document", "splices":
		data, err := items.data(item, message)
		if err != nil || VersionOf(data) != message.Version {
			return &Follow{Path: message.Path}
		}
		item.Data, item.State, item.IsShown, item.Refused = data, message.State, true, false
	case "heartbeat":
		item.IsShown, item.Refused = item.Data != nil, false
		item.take(message.State)
	case "missing":
		// When the part is back, it comes as a document.
		item.Data, item.State, item.IsShown, item.Refused = nil, message.State, false, false
	case "refused":
		item.Refused = true
		if message.Status == 404 {
			item.Data, item.IsShown = nil, false
		}
	}
	return nil
}

func hides(state string) bool {
	return state == "expired" || state == "withdrawn"
}

func (item *Item) take(state string) {
	item.State = state
	if hides(state) {
		item.Data, item.IsShown = nil, false
	}
}

func (items *Items) data(item *Item, message Message) ([]byte, error) {
	if message.Type == "document" {
		if len(message.Text) > items.MaxBytes {
			return nil, errSplices
		}
		return []byte(message.Text), nil
	}
	if item.Data == nil || VersionOf(item.Data) != message.From {
		return nil, errSplices
	}
	return Apply(item.Data, message.Splices, items.MaxBytes)
}

// Apply gives the document that splices make of an earlier one. The caller compares its hash with the version.
func Apply(old []byte, splices json.RawMessage, maxBytes int) ([]byte, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(splices, &elements); err != nil || elements == nil {
		return nil, errSplices
	}
	made := []byte{}
	at, isLength := int64(0), true
	for _, element := range elements {
		var text *string
		if element[0] == '"' {
			if err := json.Unmarshal(element, &text); err != nil {
				return nil, errSplices
			}
			made = append(made, *text...)
			at, isLength = at+int64(len(*text)), true
		} else {
			var number *int64
			if err := json.Unmarshal(element, &number); err != nil || number == nil || *number > maxNumber ||
				*number < -maxNumber {
				return nil, errSplices
			}
			if !isLength {
				at, isLength = at+*number, true
				continue
			}
			length := *number
			// Compared without a sum, which could overflow.
			if length < 0 || (length > 0 && (at < 0 || at > int64(len(old)) || length > int64(len(old))-at)) {
				return nil, errSplices
			}
			if length > 0 {
				made = append(made, old[at:at+length]...)
			}
			at, isLength = at+length, false
		}
		if len(made) > maxBytes || at > maxNumber || at < -maxNumber {
			return nil, errSplices
		}
	}
	return made, nil
}
