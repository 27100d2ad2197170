package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// RFC 6962 §2.1.
func leafHash(leaf []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, leaf...))
	return sum[:]
}

func nodeHash(left, right []byte) []byte {
	sum := sha256.Sum256(append(append([]byte{1}, left...), right...))
	return sum[:]
}

func rootOf(hashes [][]byte) []byte {
	switch len(hashes) {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		return hashes[0]
	}
	split := 1
	for split*2 < len(hashes) {
		split *= 2
	}
	return nodeHash(rootOf(hashes[:split]), rootOf(hashes[split:]))
}

// tlog-tiles: three digits an element, all but the last with an x.
func tilePath(kind string, n, width int) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	return "tile/" + kind + "/" + path
}

// tilesOf gives every file that a tree of these leaves has, partial ones included.
func tilesOf(leaves [][]byte, hashes [][]byte) map[string][]byte {
	files := map[string][]byte{}
	for from := 0; from < len(leaves); from += 256 {
		to := from + 256
		if to > len(leaves) {
			to = len(leaves)
		}
		var bundle []byte
		for _, leaf := range leaves[from:to] {
			bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(leaf)))
			bundle = append(bundle, leaf...)
		}
		files[tilePath("entries", from/256, to-from)] = bundle
	}
	for level := 0; len(hashes) > 0; level++ {
		var above [][]byte
		for from := 0; from < len(hashes); from += 256 {
			to := from + 256
			if to > len(hashes) {
				to = len(hashes)
			} else {
				above = append(above, rootOf(hashes[from:to]))
			}
			files[tilePath(strconv.Itoa(level), from/256, to-from)] = bytes.Join(hashes[from:to], nil)
		}
		hashes = above
	}
	return files
}

type key struct {
	name   string
	public ed25519.PublicKey
}

// signed-note verifier key, type 0x01.
func readKey(text string) (key, error) {
	parts := strings.SplitN(strings.TrimSpace(text), "+", 3)
	if len(parts) != 3 {
		return key{}, fmt.Errorf("the verifier key is not <origin>+<key id>+<base64>")
	}
	material, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(material) != 33 || material[0] != 1 {
		return key{}, fmt.Errorf("the verifier key is not an Ed25519 key")
	}
	read := key{parts[0], ed25519.PublicKey(material[1:])}
	if hex.EncodeToString(read.id()) != parts[1] {
		return key{}, fmt.Errorf("the verifier key's id is not that of its name and key")
	}
	return read, nil
}

func (k key) id() []byte {
	sum := sha256.Sum256(append([]byte(k.name+"\n\x01"), k.public...))
	return sum[:4]
}

type checkpoint struct {
	body string
	size int
	root []byte
}

// readCheckpoint believes a checkpoint only when the key signed it for its own origin.
func readCheckpoint(note []byte, by key) (checkpoint, error) {
	text := string(note)
	split := strings.LastIndex(text, "\n\n")
	if split < 0 || !strings.HasSuffix(text, "\n") {
		return checkpoint{}, fmt.Errorf("is not a signed note")
	}
	body := text[:split+1]
	signed := false
	for _, line := range strings.Split(strings.TrimSuffix(text[split+2:], "\n"), "\n") {
		parts := strings.Split(line, " ")
		if len(parts) != 3 || parts[0] != "\u2014" {
			return checkpoint{}, fmt.Errorf("is not a signed note")
		}
		signature, err := base64.StdEncoding.Strict().DecodeString(parts[2])
		if err != nil || len(signature) < 5 {
			return checkpoint{}, fmt.Errorf("is not a signed note")
		}
		if parts[1] != by.name || !bytes.Equal(signature[:4], by.id()) {
			continue
		}
		if !ed25519.Verify(by.public, []byte(body), signature[4:]) {
			return checkpoint{}, fmt.Errorf("carries a wrong signature of the given key")
		}
		signed = true
	}
	if !signed {
		return checkpoint{}, fmt.Errorf("is not signed by the given key")
	}
	lines := strings.Split(body, "\n")
	if len(lines) != 4 || lines[0] != by.name {
		return checkpoint{}, fmt.Errorf("belongs to another origin")
	}
	size, err := strconv.Atoi(lines[1])
	root, bad := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || bad != nil || size < 0 || strconv.Itoa(size) != lines[1] || len(root) != 32 {
		return checkpoint{}, fmt.Errorf("is not a checkpoint")
	}
	return checkpoint{body, size, root}, nil
}
