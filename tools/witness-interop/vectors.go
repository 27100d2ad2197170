package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

type submission struct {
	Name    string `json:"name"`
	Last    state  `json:"last"`
	Request string `json:"request"`
	Status  int    `json:"status"`
	Body    string `json:"body"`
}

func leaf(i int) string { return fmt.Sprintf("leaf %d", i) }

func forked(i int) string {
	if i == 3 {
		return "another leaf 3"
	}
	return leaf(i)
}

func vectors() {
	log := newKey("log.example/2026", 1, 1)
	stranger := newKey("log.example/2026", 1, 2)
	elsewhere := newKey("other.example/2026", 1, 3)
	const at = 1700000000
	t, f := newTree(600, leaf), newTree(600, forked)
	var out []submission
	add := func(name string, last int64, request string) {
		w := &witness{key: newKey("witness.example/w1", 4, 4), logs: map[string]note.Verifier{log.name: log},
			last: map[string]state{log.name: {last, t.root(last)}}, now: func() uint64 { return at }}
		status, body := w.add(request)
		out = append(out, submission{name, state{last, t.root(last)}, request, status, body})
	}
	ask := func(tr *tree, k *key, old, size int64) string {
		return fmt.Sprintf("old %d\n%s\n%s", old, tr.proof(size, old), k.sign(tr.body(k.name, size)))
	}
	for _, pair := range [][2]int64{{0, 0}, {0, 1}, {0, 600}, {1, 2}, {1, 600}, {4, 4}, {4, 7}, {6, 8}, {7, 8}, {255, 257}, {256, 512}, {300, 600}, {511, 513}, {512, 600}, {599, 600}, {600, 600}} {
		add(fmt.Sprintf("from %d to %d", pair[0], pair[1]), pair[0], ask(t, log, pair[0], pair[1]))
	}
	good := ask(t, log, 300, 600)
	add("another size is remembered", 299, good)
	add("nothing is remembered", 0, good)
	add("the witness is ahead", 600, ask(t, log, 300, 500))
	add("a fork of the same size", 300, ask(f, log, 300, 300))
	add("a fork that grew", 300, ask(f, log, 300, 600))
	add("a fork from nothing onto a remembered tree", 300, ask(f, log, 0, 300))
	add("old beyond the size", 600, fmt.Sprintf("old 600\n\n%s", log.sign(t.body(log.name, 300))))
	add("a proof where none may be", 0, fmt.Sprintf("old 0\n%s\n\n%s", t.root(1), log.sign(t.body(log.name, 300))))
	add("a proof for one size", 300, fmt.Sprintf("old 300\n%s\n\n%s", t.root(1), log.sign(t.body(log.name, 300))))
	add("no proof", 300, fmt.Sprintf("old 300\n\n%s", log.sign(t.body(log.name, 600))))
	add("a proof with a hash too many", 300, strings.Replace(good, "\n\n", "\n"+t.root(1).String()+"\n\n", 1))
	add("an empty tree with a root", 0, fmt.Sprintf("old 0\n\n%s", log.sign(fmt.Sprintf("%s\n0\n%s\n", log.name, t.root(1)))))
	add("another log", 0, ask(t, elsewhere, 0, 10))
	add("another key of this log", 0, ask(t, stranger, 0, 10))
	add("a signature of another text", 0, strings.Replace(ask(t, log, 0, 10), "\n10\n", "\n11\n", 1))
	add("a line of a stranger beside the log's", 0, ask(t, log, 0, 10)+strings.SplitN(stranger.sign(t.body(log.name, 10)), "\n\n", 2)[1])
	for _, change := range [][3]string{
		{"leading zero", "old 300", "old 0300"}, {"a sign", "old 300", "old +300"}, {"two spaces", "old 300", "old  300"},
		{"no old line", "old 300\n", ""}, {"upper case", "old 300", "Old 300"}, {"carriage return", "old 300\n", "old 300\r\n"},
	} {
		add("malformed: "+change[0], 300, strings.Replace(good, change[1], change[2], 1))
	}
	w1, w2, w3 := newKey("witness.example/w1", 4, 4), newKey("witness.example/w2", 4, 5), newKey("witness.example/w3", 4, 6)
	text := log.sign(t.body(log.name, 600))
	for i, w := range []*key{w1, w2, w3} {
		w.time = uint64(at + i)
		text += strings.SplitN(w.sign(t.body(log.name, 600)), "\n\n", 2)[1]
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	must(encoder.Encode(map[string]interface{}{
		"about":       "Made by `go run` of tools/witness-interop over golang.org/x/mod/sumdb; C2SP tlog-witness and tlog-cosignature.",
		"log":         log.vkey(),
		"witnesses":   []string{w1.vkey(), w2.vkey(), w3.vkey()},
		"seeds":       map[string]int{"log": 1, "w1": 4, "w2": 5, "w3": 6},
		"time":        at,
		"cosigned":    text,
		"submissions": out,
	}))
}
