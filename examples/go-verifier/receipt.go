package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// docs/formats/receipt.md, without witness policies: by the keys of logs alone.

const proofHead = "c2sp.org/tlog-proof@v1\n"

type receiptVerdict struct {
	Kind     string `json:"kind"`
	Crossing string `json:"crossing,omitempty"`
	Indexes  []int  `json:"indexes,omitempty"`
	Why      string `json:"why,omitempty"`
}

type receiptPart struct {
	leaf   []byte
	index  int
	hashes [][]byte
	note   string
}

type receiptLeaf struct {
	kind, id, place string
}

type signedTree struct {
	origin string
	size   int
	root   []byte
}

func verifyReceipt(text, crossing string, keys []key) receiptVerdict {
	refused := func(why string) receiptVerdict { return receiptVerdict{Kind: "refused", Why: why} }
	parts := splitReceipt(text)
	if parts == nil {
		return refused("malformed-receipt")
	}
	var leaves []receiptLeaf
	for _, part := range parts {
		leaf, why := readReceiptLeaf(part.leaf)
		if why != "" {
			return refused(why)
		}
		leaves = append(leaves, leaf)
	}
	if why := oneCrossing(leaves); why != "" {
		return refused(why)
	}
	if crossing != "" && leaves[0].id != crossing {
		return refused("other-crossing")
	}
	said := receiptVerdict{Kind: "ok", Crossing: leaves[0].id}
	var trees []signedTree
	for i, part := range parts {
		tree, why := readSignedTree(part.note, keys)
		if why != "" {
			return refused(why)
		}
		names := strings.Split(tree.origin, "/")
		if len(names) < 3 || strings.Join(names[1:len(names)-1], "/") != leaves[i].place+"/gateway" {
			return refused("foreign-leaf")
		}
		if !includes(tree, part) {
			return refused("not-included")
		}
		trees = append(trees, tree)
		said.Indexes = append(said.Indexes, part.index)
	}
	if len(trees) == 2 && !inOrder(trees, said.Indexes) {
		return refused("mixed-leaves")
	}
	return said
}

func splitReceipt(text string) []receiptPart {
	if len(text) > 2097152 || !strings.HasPrefix(text, proofHead) || !strings.HasSuffix(text, "\n") {
		return nil
	}
	texts := strings.Split("\n"+text, "\n"+proofHead)[1:]
	if len(texts) > 2 {
		return nil
	}
	var parts []receiptPart
	for i, rest := range texts {
		if i < len(texts)-1 && !strings.HasSuffix(rest, "\n") {
			return nil
		}
		part, ok := readPart(rest)
		if !ok {
			return nil
		}
		parts = append(parts, part)
	}
	return parts
}

var indexLine = regexp.MustCompile(`^index (0|[1-9][0-9]{0,15})$`)

func readPart(rest string) (receiptPart, bool) {
	split := strings.Index(rest, "\n\n")
	if split < 0 {
		return receiptPart{}, false
	}
	lines := strings.Split(rest[:split], "\n")
	if len(lines) < 2 || len(lines) > 130 || !strings.HasPrefix(lines[0], "extra ") {
		return receiptPart{}, false
	}
	leaf, err := base64.StdEncoding.Strict().DecodeString(lines[0][len("extra "):])
	match := indexLine.FindStringSubmatch(lines[1])
	if err != nil || match == nil {
		return receiptPart{}, false
	}
	index, _ := strconv.Atoi(match[1])
	part := receiptPart{leaf: leaf, index: index, note: rest[split+2:]}
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(hash) != 32 {
			return receiptPart{}, false
		}
		part.hashes = append(part.hashes, hash)
	}
	return part, true
}

var newest = map[string]int{"crossing": 3, "intent": 3, "outcome": 1}

func readReceiptLeaf(leaf []byte) (receiptLeaf, string) {
	members, ok := oneSpelling(leaf)
	if !ok {
		return receiptLeaf{}, "malformed-leaf"
	}
	text := func(name string) string { s, _ := members[name].(string); return s }
	number := func(name string) bool { _, ok := members[name].(json.Number); return ok }
	kind := text("t")
	version, err := strconv.Atoi(fmt.Sprint(members["v"]))
	if newest[kind] == 0 || err != nil {
		return receiptLeaf{}, "malformed-leaf"
	}
	if version > newest[kind] {
		return receiptLeaf{}, "unknown-version"
	}
	for _, name := range []string{"id", "tenant", "environment", "node"} {
		if text(name) == "" {
			return receiptLeaf{}, "malformed-leaf"
		}
	}
	decided := kind == "outcome" || text("verdict") != ""
	ended := kind == "intent" || text("outcome") != "" && number("status")
	if !number("at") || !decided || !ended {
		return receiptLeaf{}, "malformed-leaf"
	}
	place := text("tenant") + "/" + text("environment") + "/" + text("node")
	return receiptLeaf{kind, text("id"), place}, ""
}

var wholeNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,14})$`)

// oneSpelling reads a JSON object that prints as it stands: no white space, no escape, no member twice.
func oneSpelling(leaf []byte) (map[string]any, bool) {
	for _, c := range leaf {
		if c < 0x20 || c > 0x7e || c == '\\' {
			return nil, false
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(leaf))
	decoder.UseNumber()
	var printed strings.Builder
	value, ok := reprint(decoder, &printed)
	members, isObject := value.(map[string]any)
	return members, ok && isObject && len(leaf) <= 65535 && printed.String() == string(leaf)
}

func reprint(decoder *json.Decoder, out *strings.Builder) (any, bool) {
	token, err := decoder.Token()
	if err != nil {
		return nil, false
	}
	switch token := token.(type) {
	case json.Delim:
		members := map[string]any{}
		out.WriteString(token.String())
		for i := 0; decoder.More(); i++ {
			if i > 0 {
				out.WriteString(",")
			}
			name := ""
			if token == '{' {
				read, _ := decoder.Token()
				name, _ = read.(string)
				if _, twice := members[name]; twice {
					return nil, false
				}
				out.WriteString(`"` + name + `":`)
			}
			value, ok := reprint(decoder, out)
			if !ok {
				return nil, false
			}
			members[name] = value
		}
		end, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		out.WriteString(fmt.Sprint(end))
		return members, true
	case string:
		out.WriteString(`"` + token + `"`)
		return token, true
	case json.Number:
		out.WriteString(token.String())
		return token, wholeNumber.MatchString(token.String())
	case bool:
		out.WriteString(strconv.FormatBool(token))
		return token, true
	}
	out.WriteString("null")
	return nil, true
}

func oneCrossing(leaves []receiptLeaf) string {
	switch {
	case len(leaves) == 1 && leaves[0].kind == "crossing":
		return ""
	case len(leaves) == 1 && leaves[0].kind == "intent":
		return "not-ended"
	case len(leaves) == 2 && leaves[0].kind == "intent" && leaves[1].kind == "outcome" &&
		leaves[0].id == leaves[1].id && leaves[0].place == leaves[1].place:
		return ""
	}
	return "mixed-leaves"
}

func withoutYear(origin string) string { return origin[:strings.LastIndex(origin, "/")+1] }

func readSignedTree(note string, keys []key) (signedTree, string) {
	split := strings.LastIndex(note, "\n\n")
	if split < 0 || !strings.HasSuffix(note, "\n") {
		return signedTree{}, "malformed"
	}
	body := note[:split+1]
	lines := strings.Split(body, "\n")
	if len(lines) < 4 {
		return signedTree{}, "malformed"
	}
	origin := lines[0]
	var own []key
	for _, one := range keys {
		if withoutYear(one.name) == withoutYear(origin) {
			own = append(own, key{origin, one.public})
		}
	}
	signatures := strings.Split(strings.TrimSuffix(note[split+2:], "\n"), "\n")
	if len(signatures) > 64 {
		return signedTree{}, "malformed"
	}
	signed := false
	for _, line := range signatures {
		fields := strings.Split(line, " ")
		if len(fields) != 3 || fields[0] != "\u2014" {
			return signedTree{}, "malformed"
		}
		signature, err := base64.StdEncoding.Strict().DecodeString(fields[2])
		if err != nil || len(signature) < 5 {
			return signedTree{}, "malformed"
		}
		for _, by := range own {
			if fields[1] != by.name || !bytes.Equal(signature[:4], by.id()) {
				continue
			}
			if !ed25519.Verify(by.public, []byte(body), signature[4:]) {
				return signedTree{}, "bad-signature"
			}
			signed = true
		}
	}
	if !signed {
		return signedTree{}, "unsigned"
	}
	size, err := strconv.Atoi(lines[1])
	root, bad := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || bad != nil || size < 0 || strconv.Itoa(size) != lines[1] || len(root) != 32 {
		return signedTree{}, "malformed"
	}
	return signedTree{origin, size, root}, ""
}

// RFC 9162 §2.1.3.2.
func includes(tree signedTree, part receiptPart) bool {
	if part.index >= tree.size {
		return false
	}
	node, last, hash := part.index, tree.size-1, leafHash(part.leaf)
	for _, sibling := range part.hashes {
		if last == 0 {
			return false
		}
		if node%2 == 1 || node == last {
			hash = nodeHash(sibling, hash)
			for node%2 == 0 && node != 0 {
				node, last = node/2, last/2
			}
		} else {
			hash = nodeHash(hash, sibling)
		}
		node, last = node/2, last/2
	}
	return last == 0 && bytes.Equal(hash, tree.root)
}

func inOrder(trees []signedTree, indexes []int) bool {
	if trees[0].origin == trees[1].origin {
		return indexes[0] < indexes[1]
	}
	return withoutYear(trees[0].origin) == withoutYear(trees[1].origin) && trees[0].origin < trees[1].origin
}
