// The program timing applies and verifies splices again and again, and tells how long that takes.
//
// Standard input is a JSON array of cases: old, new, version, splices, repeat. The output is a JSON array of the shortest
// times in ms, one for each case.
package main

import (
	"encoding/json"
	"log"
	"os"
	"time"

	"livefeed/example/items"
)

func main() {
	var cases []struct {
		Old, New, Version string
		Splices           json.RawMessage
		Repeat            int
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		log.Fatal(err)
	}
	times := make([]float64, len(cases))
	for number, each := range cases {
		old := []byte(each.Old)
		for turn := 0; turn < each.Repeat; turn++ {
			start := time.Now()
			made, err := items.Apply(old, each.Splices, 1<<26)
			if err != nil || items.VersionOf(made) != each.Version {
				log.Fatalf("case %d: %v", number, err)
			}
			ms := time.Since(start).Seconds() * 1000
			if turn == 0 || ms < times[number] {
				times[number] = ms
			}
			if string(made) != each.New {
				log.Fatalf("case %d gives another document", number)
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(times); err != nil {
		log.Fatal(err)
	}
}
