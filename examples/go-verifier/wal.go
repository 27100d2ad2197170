package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
)

const (
	segmentMagic = "sallyport-wal/v1\n"
	headerBytes  = 61
	entriesMax   = 2048
	ownMax       = uint32(1) << 31
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
var segmentName = regexp.MustCompile(`^([0-9]{16})\.wal$`)

type entry struct {
	index     int
	leaf      []byte
	reference []byte
	stored    bool // the entry has a reference, its own or a shared one
}

// readSegments gives every entry of an origin's write-ahead log in order, and what is wrong with the files.
func readSegments(folder, origin string) ([]entry, []problem) {
	var entries []entry
	names, err := os.ReadDir(filepath.Join(folder, "wal"))
	if err != nil {
		return nil, []problem{{"frame", "there is no write-ahead log"}}
	}
	var files []string
	for _, name := range names {
		if segmentName.MatchString(name.Name()) {
			files = append(files, name.Name())
		}
	}
	sort.Strings(files)
	for number, file := range files {
		content, err := os.ReadFile(filepath.Join(folder, "wal", file))
		if err != nil {
			return entries, []problem{{"frame", file + " cannot be read"}}
		}
		first, _ := strconv.Atoi(file[:16])
		if first != len(entries) {
			return entries, []problem{{"frame", fmt.Sprintf("leaf %d is due, %s begins elsewhere: a segment is missing", len(entries), file)}}
		}
		if !isHeader(content, first, origin) {
			return entries, []problem{{"frame", file + " has another header"}}
		}
		for at := headerBytes; at < len(content); {
			read, end, bad := readFrame(content, at, len(entries))
			if bad != "" && number == len(files)-1 && isRoom(content[at:]) {
				break
			}
			if bad != "" {
				return entries, []problem{{"frame", fmt.Sprintf("%s at byte %d: %s", file, at, bad)}}
			}
			entries = append(entries, read...)
			at = end
		}
	}
	return entries, nil
}

// isRoom says whether only zeros are left: what is made in advance behind the last frame of the last segment.
func isRoom(rest []byte) bool {
	return len(rest) > 0 && len(bytes.Trim(rest, "\x00")) == 0
}

func isHeader(content []byte, first int, origin string) bool {
	if len(content) < headerBytes || string(content[:17]) != segmentMagic {
		return false
	}
	name := sha256.Sum256([]byte(origin))
	return binary.BigEndian.Uint64(content[17:]) == uint64(first) && bytes.Equal(content[25:57], name[:]) &&
		binary.BigEndian.Uint32(content[57:]) == crc32.Checksum(content[:57], castagnoli)
}

func readFrame(content []byte, at, next int) ([]entry, int, string) {
	if len(content)-at < 20 {
		return nil, 0, "a frame is cut short"
	}
	length := int(binary.BigEndian.Uint32(content[at:]))
	end := at + 8 + length
	if length < 12 || end > len(content) {
		return nil, 0, "a frame is cut short"
	}
	if crc32.Checksum(content[at+8:end], castagnoli) != binary.BigEndian.Uint32(content[at+4:]) {
		return nil, 0, "a frame does not match its checksum"
	}
	count := int(binary.BigEndian.Uint32(content[at+16:]))
	if binary.BigEndian.Uint64(content[at+8:]) != uint64(next) || count < 1 || count > entriesMax {
		return nil, 0, "a frame is out of its place"
	}
	var entries []entry
	holder := -1
	for i, from := 0, at+20; i < count; i++ {
		if end-from < 6 {
			return nil, 0, "a frame holds less than it says"
		}
		leafLength := int(binary.BigEndian.Uint16(content[from:]))
		said := binary.BigEndian.Uint32(content[from+2:])
		to := from + 6 + leafLength
		one := entry{index: next + i}
		if to > end {
			return nil, 0, "a frame holds less than it says"
		}
		one.leaf = content[from+6 : to]
		switch {
		case said >= ownMax:
			if holder < 0 || from-int(said-ownMax) != holder {
				return nil, 0, "an entry shares a reference that is not the last one"
			}
			one.stored = true
			for j := len(entries) - 1; one.reference == nil; j-- {
				one.reference = entries[j].reference
			}
		case said > 0:
			if to+int(said) > end {
				return nil, 0, "a frame holds less than it says"
			}
			holder = from
			one.stored = true
			one.reference = content[to : to+int(said)]
			to += int(said)
		}
		entries = append(entries, one)
		from = to
		if i == count-1 && from != end {
			return nil, 0, "a frame holds more than it says"
		}
	}
	return entries, end, ""
}

var named = regexp.MustCompile(`"(?:inputs|facts|content)":"([0-9a-f]{64})"`)

// isNamed says whether the reference beside a leaf is the one it names.
func (e entry) isNamed() bool {
	if !e.stored {
		return true
	}
	sum := sha256.Sum256(e.reference)
	match := named.FindSubmatch(e.leaf)
	return match != nil && string(match[1]) == hex.EncodeToString(sum[:])
}
