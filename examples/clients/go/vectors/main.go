// The program vectors runs vectors.json, the contract for clients in other languages, and prints OK.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"livefeed/example/items"
)

const maxBytes = 1 << 20

type shown struct {
	Path    string  `json:"path"`
	Text    *string `json:"text"`
	State   *string `json:"state"`
	Version *string `json:"version"`
}

type step struct {
	Message items.Message  `json:"message"`
	Shown   []shown        `json:"shown"`
	Sends   []items.Follow `json:"sends"`
}

type vectors struct {
	Documents []struct{ Name, Text, Version string } `json:"documents"`
	Splices   []struct {
		Name, Old, New, Version string
		Splices                 json.RawMessage
	} `json:"splices"`
	Bad []struct {
		Name, Old, Splices, Version string
		MaxBytes                    int `json:"max_bytes"`
	} `json:"bad_splices"`
	Messages []struct {
		Name string
		Have map[string]*string
		step
	} `json:"messages"`
	Sequences []struct {
		Name  string
		Have  map[string]*string
		Steps []step
	} `json:"sequences"`
	Slots []struct {
		Code   int
		Reason string
		Delay  *[2]int64 `json:"delay_ms"`
	} `json:"slots"`
}

func check(holds bool, name string) {
	if !holds {
		fmt.Fprintln(os.Stderr, "it fails:", name)
		os.Exit(1)
	}
}

func begin(have map[string]*string, documents map[string]string) *items.Items {
	all := &items.Items{ByPath: map[string]*items.Item{}, MaxBytes: maxBytes}
	for path, version := range have {
		all.ByPath[path] = &items.Item{}
		if version != nil {
			all.ByPath[path] = &items.Item{Data: []byte(documents[*version]), State: "live", IsShown: true}
		}
	}
	return all
}

func run(all *items.Items, each step, name string) {
	sent := []items.Follow{}
	if follow := all.Receive(each.Message); follow != nil {
		sent = append(sent, *follow)
	}
	check(reflect.DeepEqual(sent, each.Sends), name+": sends")
	for _, expected := range each.Shown {
		item := all.ByPath[expected.Path]
		check((expected.Text != nil) == item.IsShown, name+": shown")
		if item.IsShown {
			check(*expected.Text == string(item.Data), name+": text")
			check(*expected.Version == items.VersionOf(item.Data), name+": version")
		}
		check((expected.State == nil && item.State == "") || (expected.State != nil && *expected.State == item.State),
			name+": state")
	}
}

func main() {
	var all vectors
	data, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	check(err == nil, fmt.Sprint(err))
	documents := map[string]string{}
	for _, each := range all.Documents {
		check(items.VersionOf([]byte(each.Text)) == each.Version, each.Name)
		documents[each.Version] = each.Text
	}
	for _, each := range all.Splices {
		made, err := items.Apply([]byte(each.Old), each.Splices, maxBytes)
		check(err == nil && string(made) == each.New && items.VersionOf(made) == each.Version, each.Name)
	}
	for _, each := range all.Bad {
		made, err := items.Apply([]byte(each.Old), json.RawMessage(each.Splices), each.MaxBytes)
		check(err != nil || items.VersionOf(made) != each.Version, each.Name)
	}
	for _, each := range all.Messages {
		run(begin(each.Have, documents), each.step, each.Name)
	}
	for _, each := range all.Sequences {
		state := begin(each.Have, documents)
		for number, one := range each.Steps {
			run(state, one, fmt.Sprintf("%s, step %d", each.Name, number))
		}
	}
	for _, each := range all.Slots {
		if each.Code == 0 {
			continue // polling and events, which this client does not use
		}
		delay, returns := items.Delay(each.Code, each.Reason)
		check(returns == (each.Delay != nil), fmt.Sprint("slot ", each.Code))
		if returns {
			ms := delay.Milliseconds()
			check(each.Delay[0] <= ms && ms <= each.Delay[1], fmt.Sprint("slot ", each.Code))
		}
	}
	fmt.Println("OK")
}
