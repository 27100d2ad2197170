package main

import (
	"fmt"
	"strings"
)

const windowMs = 10_000

// counts follows crossings (docs/formats/leaf.md "Crossings and completeness") and windows ("Tallies") through all origins.
type counts struct {
	open    map[string]bool
	windows map[int64]*window
	to      int64 // where the last tally of this run ended; 0 before the first
	tallies int
	crashes int
	early   bool // answers may go ahead of their records ("Buffered records")
	mayMiss int  // runs that died then
}

type window struct{ crossings, intents, counted int64 }

func newCounts() *counts {
	return &counts{open: map[string]bool{}, windows: map[int64]*window{}}
}

// windowOf is the window of an id that ends in a ULID, or -1.
func windowOf(id string) int64 {
	if len(id) < 26 {
		return -1
	}
	var ms int64
	for _, digit := range id[len(id)-26 : len(id)-16] {
		value := strings.IndexRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", digit)
		if value < 0 {
			return -1
		}
		ms = ms*32 + int64(value)
	}
	return ms / windowMs
}

func (c *counts) take(l leaf) []problem {
	id := l.values["id"]
	at := windowOf(id)
	switch l.t {
	case "crossing":
		wrong := c.add(at, 1, 0, 0)
		if c.open[id] {
			wrong = append(wrong, problem{"crossing", "is a whole crossing, but an intent with its id is open"})
		}
		return wrong
	case "intent":
		wrong := c.add(at, 0, 1, 0)
		if c.open[id] {
			wrong = append(wrong, problem{"crossing", "is a second intent of the same id"})
		}
		c.open[id] = true
		return wrong
	case "progress", "outcome":
		if !c.open[id] {
			return []problem{{"crossing", "is of no open intent"}}
		}
		if l.t == "outcome" {
			delete(c.open, id)
		}
	case "denials":
		return c.add(at, 0, 0, l.number("count"))
	case "buffered", "settled":
		was := c.early
		c.early = l.t == "buffered"
		if was == c.early {
			return []problem{{"missing", "promises to answer early, or ends that, twice in a row"}}
		}
	case "start":
		c.endRun()
	case "tally":
		return c.tally(l)
	}
	return nil
}

func (c *counts) add(at, crossings, intents, counted int64) []problem {
	if at < 0 {
		return nil
	}
	if at*windowMs < c.to {
		return []problem{{"missing", "is of a window whose tally stands before it"}}
	}
	if c.windows[at] == nil {
		c.windows[at] = &window{}
	}
	c.windows[at].crossings += crossings
	c.windows[at].intents += intents
	c.windows[at].counted += counted
	return nil
}

func (c *counts) tally(l leaf) []problem {
	var wrong []problem
	from, to := l.number("from"), l.number("to")
	c.tallies++
	if from >= to || from%windowMs != 0 || to%windowMs != 0 {
		wrong = append(wrong, problem{"missing", "is a tally of no whole windows"})
	}
	if c.to != 0 && from != c.to {
		wrong = append(wrong, problem{"missing", "does not begin where the tally before it ended"})
	}
	var found window
	for at, one := range c.windows {
		if at*windowMs >= to {
			continue
		}
		delete(c.windows, at)
		if at*windowMs < from {
			wrong = append(wrong, problem{"missing", "leaves before it are in no tally"})
			continue
		}
		found.crossings += one.crossings
		found.intents += one.intents
		found.counted += one.counted
	}
	said := window{l.number("crossings"), l.number("intents"), l.number("counted")}
	if said != found {
		wrong = append(wrong, problem{"missing", fmt.Sprintf("says %v crossings, intents and counted denials, the log holds %v", said, found)})
	}
	if l.number("seen") != said.crossings+said.intents+said.counted+l.number("refused") {
		wrong = append(wrong, problem{"missing", "says of another number of crossings that they were seen than that they ended"})
	}
	c.to = to
	if l.values["closed"] == "stop" {
		c.to = 0
		c.windows = map[int64]*window{}
	}
	return wrong
}

// endRun: a run that closed its last window itself has none left here.
func (c *counts) endRun() {
	if c.early {
		c.mayMiss++
		c.early = false
	}
	if c.to != 0 || c.tallies > 0 && len(c.windows) > 0 {
		c.crashes++
	}
	c.to = 0
	c.windows = map[int64]*window{}
}
