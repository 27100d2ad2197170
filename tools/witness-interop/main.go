// A second implementation of C2SP tlog-witness and tlog-cosignature, made from the texts and from golang.org/x/mod/sumdb (note, tlog) alone, which
// Debian's Go carries in its own source tree. `vectors` prints vectors/witness.json; `witness <seed>` serves add-checkpoint on a free loopback port.
// It keeps its state in memory: for tests only.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func keyHash(name string, kind byte, pub ed25519.PublicKey) uint32 {
	sum := sha256.Sum256(append(append([]byte(name+"\n"), kind), pub...))
	return binary.BigEndian.Uint32(sum[:4])
}

// key is an Ed25519 key that signs notes (0x01) or cosignatures (0x04).
type key struct {
	name string
	kind byte
	priv ed25519.PrivateKey
	time uint64
}

func newKey(name string, kind byte, seed byte) *key {
	return &key{name: name, kind: kind, priv: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))}
}

func (k *key) pub() ed25519.PublicKey { return k.priv.Public().(ed25519.PublicKey) }
func (k *key) Name() string           { return k.name }
func (k *key) KeyHash() uint32        { return keyHash(k.name, k.kind, k.pub()) }
func (k *key) vkey() string {
	material := append([]byte{k.kind}, k.pub()...)
	return fmt.Sprintf("%s+%08x+%s", k.name, k.KeyHash(), base64.StdEncoding.EncodeToString(material))
}

func cosigned(msg []byte, at uint64) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", at)), msg...)
}

func (k *key) Sign(msg []byte) ([]byte, error) {
	if k.kind == 1 {
		return ed25519.Sign(k.priv, msg), nil
	}
	out := make([]byte, 8)
	binary.BigEndian.PutUint64(out, k.time)
	return append(out, ed25519.Sign(k.priv, cosigned(msg, k.time))...), nil
}

func (k *key) Verify(msg, sig []byte) bool {
	if k.kind == 1 {
		return ed25519.Verify(k.pub(), msg, sig)
	}
	return len(sig) == 72 && ed25519.Verify(k.pub(), cosigned(msg, binary.BigEndian.Uint64(sig)), sig[8:])
}

func (k *key) sign(text string) string {
	out, err := note.Sign(&note.Note{Text: text}, k)
	must(err)
	return string(out)
}

// tree holds a log's stored hashes.
type tree struct{ hashes []tlog.Hash }

func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, at := range indexes {
		out = append(out, t.hashes[at])
	}
	return out, nil
}

func newTree(n int, leaf func(int) string) *tree {
	t := &tree{}
	for i := 0; i < n; i++ {
		more, err := tlog.StoredHashes(int64(i), []byte(leaf(i)), t)
		must(err)
		t.hashes = append(t.hashes, more...)
	}
	return t
}

func (t *tree) root(n int64) tlog.Hash {
	if n == 0 {
		return tlog.Hash(sha256.Sum256(nil))
	}
	h, err := tlog.TreeHash(n, t)
	must(err)
	return h
}

func (t *tree) body(origin string, n int64) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, n, t.root(n))
}

func (t *tree) proof(n, old int64) string {
	if old == 0 || old == n {
		return ""
	}
	proof, err := tlog.ProveTree(n, old, t)
	must(err)
	var out strings.Builder
	for _, h := range proof {
		out.WriteString(h.String() + "\n")
	}
	return out.String()
}

type state struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
}

// witness decides by the text of tlog-witness, in its order.
type witness struct {
	mu   sync.Mutex
	key  *key
	logs map[string]note.Verifier
	last map[string]state
	now  func() uint64
}

func (w *witness) add(body string) (int, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cut := strings.Index(body, "\n\n")
	if cut < 0 {
		return 400, ""
	}
	lines := strings.Split(body[:cut], "\n")
	signed := body[cut+2:]
	oldText := strings.TrimPrefix(lines[0], "old ")
	old, err := strconv.ParseInt(oldText, 10, 64)
	if err != nil || old < 0 || strconv.FormatInt(old, 10) != oldText || oldText == lines[0] || len(lines) > 64 {
		return 400, ""
	}
	var proof tlog.TreeProof
	for _, line := range lines[1:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return 400, ""
		}
		proof = append(proof, h)
	}
	parts := strings.SplitN(signed, "\n", 4)
	if len(parts) < 4 {
		return 400, ""
	}
	size, err := strconv.ParseInt(parts[1], 10, 64)
	root, err2 := tlog.ParseHash(parts[2])
	if err != nil || err2 != nil || size < 0 {
		return 400, ""
	}
	log, known := w.logs[parts[0]]
	if !known {
		return 404, ""
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(log))
	if err != nil {
		return 403, ""
	}
	if old > size {
		return 400, ""
	}
	last := w.last[parts[0]]
	if old != last.Size {
		return 409, fmt.Sprintf("%d\n", last.Size)
	}
	if size == 0 && root != tlog.Hash(sha256.Sum256(nil)) {
		return 422, ""
	}
	switch {
	case old == 0:
		if len(proof) > 0 {
			return 422, ""
		}
	case old == size:
		if len(proof) > 0 || root != last.Root {
			return 422, ""
		}
	case tlog.CheckTree(proof, size, root, old, last.Root) != nil:
		return 422, ""
	}
	w.last[parts[0]] = state{size, root}
	w.key.time = w.now()
	return 200, strings.SplitN(w.key.sign(opened.Text), "\n\n", 2)[1]
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if r.Method != "POST" || r.URL.Path != "/prefix/add-checkpoint" {
		rw.WriteHeader(404)
		return
	}
	status, text := w.add(string(body))
	if status == 409 {
		rw.Header().Set("Content-Type", "text/x.tlog.size")
	}
	rw.WriteHeader(status)
	io.WriteString(rw, text)
}

func serve(logs []string) {
	w := &witness{key: newKey("witness.example/go", 4, 7), logs: map[string]note.Verifier{}, last: map[string]state{},
		now: func() uint64 { return uint64(time.Now().Unix()) }}
	for _, vkey := range logs {
		v, err := note.NewVerifier(vkey)
		must(err)
		w.logs[v.Name()] = v
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	out, _ := json.Marshal(map[string]string{"url": "http://" + listener.Addr().String() + "/prefix", "key": w.key.vkey()})
	fmt.Println(string(out))
	must(http.Serve(listener, w))
}

func main() {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "vectors":
		vectors()
	case len(os.Args) > 1 && os.Args[1] == "witness":
		serve(os.Args[2:])
	default:
		fmt.Fprintln(os.Stderr, "vectors | witness <log vkey>...")
		os.Exit(2)
	}
}
