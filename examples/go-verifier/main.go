// A second verifier of Sallyport's audit log, written from docs/formats/leaf.md, docs/formats/receipt.md and the C2SP texts they name alone, with
// Go's standard library.
// It reads a closed log that begins with its first origin (no `before/`), in memory, and answers in one line of JSON.
//
//	go run . <log directory> <verifier key>
//	go run . receipt <file> <crossing id, or - for any> <verifier key>...
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

type problem struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

type originReport struct {
	Origin string `json:"origin"`
	Leaves int    `json:"leaves"`
	Size   int    `json:"size"`
	Root   string `json:"root"`
}

type report struct {
	OK       bool           `json:"ok"`
	Leaves   int            `json:"leaves"`
	Origins  []originReport `json:"origins"`
	Tallies  int            `json:"tallies"`
	Crashes  int            `json:"crashes"`
	MayMiss  int            `json:"mayMiss"`
	Problems []problem      `json:"problems"`
}

var yearFolder = regexp.MustCompile(`^[0-9]{4}$`)

func main() {
	if len(os.Args) > 4 && os.Args[1] == "receipt" {
		checkReceipt(os.Args[2], os.Args[3], os.Args[4:])
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: verifier <log directory> <verifier key> | receipt <file> <crossing id or -> <verifier key>...")
		os.Exit(2)
	}
	given, err := readKey(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	said, err := verify(os.Args[1], given)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	line, _ := json.Marshal(said)
	fmt.Println(string(line))
	if !said.OK {
		os.Exit(1)
	}
}

func checkReceipt(file, crossing string, texts []string) {
	var keys []key
	for _, text := range texts {
		read, err := readKey(text)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		keys = append(keys, read)
	}
	receipt, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if crossing == "-" {
		crossing = ""
	}
	said := verifyReceipt(string(receipt), crossing, keys)
	line, _ := json.Marshal(said)
	fmt.Println(string(line))
	if said.Kind != "ok" {
		os.Exit(1)
	}
}

func verify(directory string, given key) (report, error) {
	names, err := os.ReadDir(directory)
	if err != nil {
		return report{}, err
	}
	said := report{Problems: []problem{}}
	crossings := newCounts()
	var before *checkpoint
	prefix := given.name[:strings.LastIndex(given.name, "/")+1]
	for _, name := range names {
		if !name.IsDir() || !yearFolder.MatchString(name.Name()) {
			continue
		}
		// The key of every year is the same, its name is that year's origin.
		by := key{prefix + name.Name(), given.public}
		before = said.origin(filepath.Join(directory, name.Name()), by, before, crossings)
	}
	if len(said.Origins) == 0 {
		return report{}, fmt.Errorf("%s holds no folder named by a year", directory)
	}
	for id := range crossings.open {
		said.wrong("crossing", "the intent "+id+" has no outcome")
	}
	crossings.endRun()
	said.Tallies, said.Crashes, said.MayMiss = crossings.tallies, crossings.crashes, crossings.mayMiss
	said.OK = len(said.Problems) == 0
	return said, nil
}

func (r *report) wrong(kind, message string) {
	r.Problems = append(r.Problems, problem{kind, message})
}

// origin verifies one year and returns its published checkpoint, which the next year must name.
func (r *report) origin(folder string, by key, before *checkpoint, crossings *counts) *checkpoint {
	published := r.checkpoint(folder, "checkpoint", by)
	head := r.checkpoint(folder, "head", by)
	entries, bad := readSegments(folder, by.name)
	r.Problems = append(r.Problems, bad...)
	var leaves, hashes [][]byte
	for _, entry := range entries {
		leaves = append(leaves, entry.leaf)
		hashes = append(hashes, leafHash(entry.leaf))
		r.leaf(entry, by, before, crossings)
	}
	said := originReport{Origin: by.name, Leaves: len(leaves)}
	for _, signed := range []*checkpoint{head, published} {
		if signed == nil {
			continue
		}
		if signed.size > len(hashes) {
			r.wrong("truncated", fmt.Sprintf("%d leaves were signed for, %d are there", signed.size, len(hashes)))
		} else if !bytes.Equal(rootOf(hashes[:signed.size]), signed.root) {
			r.wrong("root", fmt.Sprintf("the first %d leaves do not give the root that was signed for them", signed.size))
		}
	}
	if published != nil {
		said.Size, said.Root = published.size, base64.StdEncoding.EncodeToString(published.root)
		if published.size < len(leaves) {
			r.wrong("truncated", "leaves lie beyond the published checkpoint of a closed log")
		}
		if published.size <= len(leaves) {
			r.tiles(folder, leaves[:published.size], hashes[:published.size])
		}
	}
	r.Leaves += len(leaves)
	r.Origins = append(r.Origins, said)
	return published
}

func (r *report) checkpoint(folder, name string, by key) *checkpoint {
	note, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		r.wrong("checkpoint", name+" is missing")
		return nil
	}
	read, err := readCheckpoint(note, by)
	if err != nil {
		r.wrong("checkpoint", name+" "+err.Error())
		return nil
	}
	return &read
}

func (r *report) leaf(entry entry, by key, before *checkpoint, crossings *counts) {
	said := func(kind, message string) { r.wrong(kind, fmt.Sprintf("leaf %d %s", entry.index, message)) }
	read, err := readLeaf(entry.leaf)
	if err != nil {
		said("leaf", err.Error())
		return
	}
	if !entry.isNamed() {
		said("reference", "names another reference than the one beside it")
	}
	if (read.t == "origin") != (entry.index == 0) {
		said("chain", "is an origin leaf where none is due, or the other way round")
	}
	if read.t == "origin" && !continues(read, by, before) {
		said("chain", "does not name its own origin and the end of the one before")
	}
	for _, wrong := range crossings.take(read) {
		said(wrong.Kind, wrong.Message)
	}
}

func continues(read leaf, by key, before *checkpoint) bool {
	if read.values["origin"] != by.name {
		return false
	}
	// Retention may have dropped what came before the first folder.
	if before == nil {
		return true
	}
	sum := sha256.Sum256([]byte(before.body))
	return read.values["previous"] == hex.EncodeToString(sum[:]) && read.number("previousSize") == int64(before.size) &&
		read.values["previousOrigin"] == before.body[:strings.IndexByte(before.body, '\n')]
}

func (r *report) tiles(folder string, leaves, hashes [][]byte) {
	for path, due := range tilesOf(leaves, hashes) {
		kind := "tile"
		if strings.HasPrefix(path, "tile/entries/") {
			kind = "bundle"
		}
		found, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(path)))
		if err != nil {
			r.wrong(kind, path+" is missing")
		} else if !bytes.Equal(found, due) {
			r.wrong(kind, path+" is not what the write-ahead log gives")
		}
	}
}
