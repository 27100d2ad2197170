package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The forms of docs/formats/leaf.md "Forms": of the printed JSON value, quotes included.
type form func(value string) bool

func text(pattern string, most int) form {
	expression := regexp.MustCompile("^(?:" + pattern + ")$")
	return func(value string) bool {
		if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
			return false
		}
		inner := value[1 : len(value)-1]
		return len(inner) <= most && expression.MatchString(inner)
	}
}

func oneOf(words ...string) form {
	return func(value string) bool {
		for _, word := range words {
			if value == `"`+word+`"` {
				return true
			}
		}
		return false
	}
}

func orNull(other form) form {
	return func(value string) bool { return value == "null" || other(value) }
}

func list(each form, most int) form {
	return func(value string) bool {
		if len(value) < 2 || value[0] != '[' || value[len(value)-1] != ']' {
			return false
		}
		if value == "[]" {
			return true
		}
		// No form admits a comma.
		values := strings.Split(value[1:len(value)-1], ",")
		for _, one := range values {
			if !each(one) {
				return false
			}
		}
		return len(values) <= most
	}
}

var (
	numberPattern = regexp.MustCompile(`^(?:0|[1-9][0-9]{0,14})$`)
	statusPattern = regexp.MustCompile(`^(?:0|[1-9][0-9]{2})$`)
	ulidPattern   = `[0-7][0-9A-HJKMNP-TV-Z]{25}`
	number        = form(numberPattern.MatchString)
	status        = form(statusPattern.MatchString)
	id            = text(`[a-z][a-z0-9-]*`, 127)
	eventID       = text(`(?:[a-z][a-z0-9-]*-)?`+ulidPattern, 154)
	hash          = text(`[0-9a-f]{64}`, 64)
	pseudonym     = text(`[0-9]{4}[a-z0-9.-]{0,12}:[A-Za-z0-9_-]{21}[AQgw]`, 64)
	operation     = text(`[a-z][a-z0-9-]*:(?:\(undeclared\)|[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)*)`, 255)
	policyID      = text(`[A-Za-z0-9][A-Za-z0-9._:/@#-]*`, 255)
	action        = text(`[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)*`, 127)
	object        = text(`[a-z][a-z0-9-]*(?:/[A-Za-z0-9][A-Za-z0-9._:@-]*)*`, 255)
	audience      = text(`https?://[A-Za-z0-9.:[\]-]+(?:/[A-Za-z0-9._~-]+)*`, 512)
	version       = text(`[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?`, 64)
	originForm    = text(`[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9-]*)+`, 512)
	code          = text(`[a-z][a-z0-9-]*`, 64)
	reason        = text(`[a-z][a-z0-9_-]{0,63}`, 64)
	grantID       = text(`[a-z]{3}_[A-Za-z0-9_-]{1,64}`, 68)
	proofKind     = oneOf("mtls", "dpop", "bearer", "signature", "api-key")
	verdict       = oneOf("allow", "deny")
	direction     = oneOf("request", "response")
	unkeptReason  = oneOf("no-subject", "unenforced", "empty", "not-json", "not-whole", "too-large")
	stage         = oneOf("receive", "admit", "route", "identify", "bind", "limit", "authorize", "inspect", "idempotency", "record", "exchange", "forward")
	grantType     = oneOf("client_credentials", "authorization_code", "refresh_token", "device_code", "jwt-bearer", "token-exchange")
)

type member struct {
	name string
	form form
}

func join(parts ...[]member) []member {
	var all []member
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

var (
	place = []member{{"at", number}, {"tenant", id}, {"environment", id}, {"region", id}, {"node", id}}
	event = join([]member{{"id", eventID}}, place)
	until = []member{{"kind", oneOf("api")}, {"caller", orNull(pseudonym)}, {"subject", orNull(pseudonym)}, {"proof", orNull(proofKind)}}
	since = []member{{"operation", orNull(operation)}, {"integration", orNull(id)}, {"mode", oneOf("enforce", "observe", "passthrough")},
		{"verdict", verdict}, {"code", orNull(code)}, {"stage", orNull(stage)}, {"policies", list(policyID, 64)}, {"policySet", orNull(hash)},
		{"inputs", orNull(hash)}, {"address", orNull(pseudonym)}, {"addressClass", oneOf("loopback", "private", "public-v4", "public-v6", "other")}}
	decision = join(until, since)
	issued   = join(until, []member{{"issuer", id}}, since)
	token    = join(until, []member{{"issuer", orNull(id)}, {"token", pseudonym}}, since)
	outcome  = []member{{"outcome", oneOf("success", "business-error", "system-error", "denied", "aborted", "unknown", "unobserved")},
		{"status", status}, {"upstreamStatus", status}, {"bytesIn", number}, {"bytesOut", number}, {"totalUs", number}, {"upstreamUs", number}}
	ended    = []member{{"code", orNull(code)}, {"stage", orNull(stage)}, {"messagesIn", number}, {"messagesOut", number}}
	issuance = []member{{"client", orNull(pseudonym)}, {"audience", orNull(audience)}, {"verdict", verdict}, {"code", orNull(reason)},
		{"token", orNull(pseudonym)}, {"proof", orNull(proofKind)}, {"expiresAt", number}}
	issuanceMore = []member{{"grantType", orNull(grantType)}, {"subject", orNull(pseudonym)}, {"grants", list(grantID, 16)},
		{"operations", orNull(list(operation, 128))}, {"policies", list(policyID, 64)}, {"inputs", orNull(hash)}}
)

// Members after `v` and `t`, by type and version.
var leafForms = map[string][]member{
	"crossing/1": join(event, decision, outcome),
	"crossing/2": join(event, issued, outcome),
	"crossing/3": join(event, token, outcome),
	"intent/1":   join(event, decision),
	"intent/2":   join(event, issued),
	"intent/3":   join(event, token),
	"progress/1": join(event, []member{{"bytesIn", number}, {"bytesOut", number}}),
	"outcome/1":  join(event, outcome),
	"outcome/2":  join(event, outcome, ended),
	"denials/1":  join(event, []member{{"code", code}, {"prefix", pseudonym}, {"count", number}, {"windowMs", number}}),
	"payload/1": join(event, []member{{"direction", direction}, {"dataSubject", pseudonym}, {"key", text(`[0-9a-f]{16}`, 16)},
		{"content", hash}, {"bytes", number}, {"endsAt", number}}),
	"unkept/1":   join(event, []member{{"direction", direction}, {"reason", unkeptReason}, {"bytes", number}}),
	"buffered/1": join(event, []member{{"upTo", number}}),
	"settled/1":  join(event, []member{{"early", number}}),
	"tally/1": join(event, []member{{"from", number}, {"to", number}, {"seen", number}, {"crossings", number}, {"intents", number},
		{"counted", number}, {"refused", number}, {"unread", number}, {"closed", oneOf("time", "stop")}}),
	"origin/1":   join(place, []member{{"origin", originForm}, {"previous", orNull(hash)}, {"previousOrigin", orNull(originForm)}, {"previousSize", number}}),
	"start/1":    join(place, []member{{"role", oneOf("all", "control", "gateway")}, {"version", version}, {"recovered", number}}),
	"admin/1":    join(event, []member{{"actor", pseudonym}, {"action", action}, {"object", object}, {"facts", orNull(hash)}}),
	"issuance/1": join(event, issuance),
	"issuance/2": join(event, issuance, issuanceMore),
}

// A leaf that has its form. Values are as printed, texts without their quotes.
type leaf struct {
	t      string
	values map[string]string
}

func (l leaf) number(name string) int64 {
	value, _ := strconv.ParseInt(l.values[name], 10, 64)
	return value
}

var leafStart = regexp.MustCompile(`^\{"v":([0-9]{1,4}),"t":"([a-z]{1,32})"`)

// readLeaf takes exactly the bytes that the page admits.
func readLeaf(bytes []byte) (leaf, error) {
	line := string(bytes)
	start := leafStart.FindStringSubmatch(line)
	if start == nil {
		return leaf{}, fmt.Errorf("does not begin like a leaf")
	}
	members, known := leafForms[start[2]+"/"+start[1]]
	if !known {
		return leaf{}, fmt.Errorf("is of type %s, version %s, which this reader does not know", start[2], start[1])
	}
	read := leaf{start[2], map[string]string{}}
	rest := line[len(start[0]):]
	for _, member := range members {
		mark := `,"` + member.name + `":`
		if !strings.HasPrefix(rest, mark) {
			return leaf{}, fmt.Errorf("lacks %s where it is due", member.name)
		}
		rest = rest[len(mark):]
		end := valueEnd(rest)
		if end < 0 || !member.form(rest[:end]) {
			return leaf{}, fmt.Errorf("has another form of %s", member.name)
		}
		read.values[member.name] = strings.Trim(rest[:end], `"`)
		rest = rest[end:]
	}
	if rest != "}" {
		return leaf{}, fmt.Errorf("has more than its members")
	}
	denies := read.values["verdict"] == "deny"
	if _, staged := read.values["stage"]; denies && (read.values["code"] == "null" || staged && read.values["stage"] == "null") {
		return leaf{}, fmt.Errorf("is a deny without code and stage")
	}
	if read.t == "crossing" && denies && read.values["outcome"] == "denied" && read.values["mode"] != "enforce" {
		return leaf{}, fmt.Errorf("says denied of a crossing whose verdict was not enforced")
	}
	return read, nil
}

// valueEnd finds where a value ends: no text holds a quote, a comma outside a list ends it.
func valueEnd(rest string) int {
	switch {
	case strings.HasPrefix(rest, `"`):
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return -1
		}
		return end + 2
	case strings.HasPrefix(rest, "["):
		end := strings.Index(rest, "],")
		if last := strings.Index(rest, "]}"); end < 0 || last >= 0 && last < end {
			end = last
		}
		if end < 0 {
			return -1
		}
		return end + 1
	default:
		return strings.IndexAny(rest, ",}")
	}
}
