package items

import (
	"regexp"
	"strconv"
	"time"
)

var comeBack = regexp.MustCompile(`come back in (\d{1,9}) ms`)

// Delay gives the time after which a client comes back whose WebSocket was closed with a code and a reason, and
// whether it comes back at all. A server that closes thousands of clients gives each a time of its own.
func Delay(code int, reason string) (time.Duration, bool) {
	if code == 1002 || code == 1007 || code == 1008 || code == 1009 || (code >= 3500 && code < 4000) {
		return 0, false // this client is broken
	}
	if match := comeBack.FindStringSubmatch(reason); match != nil {
		ms, _ := strconv.Atoi(match[1])
		delay := time.Duration(ms) * time.Millisecond
		if delay > time.Hour {
			delay = time.Hour // a wrong time keeps no client away for days
		}
		return delay, true
	}
	if code >= 3000 && code < 3500 {
		return time.Duration(code-3000) * 20 * time.Millisecond, true
	}
	return 6 * time.Second, true
}
