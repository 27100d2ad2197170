// Renders a Helm chart with the template engine and function library Helm itself uses (text/template and sprig, from Debian),
// so that the chart is checked without a cluster and without Helm. Input on standard input as JSON: {"chart": dir, "values": {...}};
// output: {"<template>": "<text>"}. What of Helm it leaves out: dependencies, tests, hooks, lookup, capabilities, values from files.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
)

type input struct {
	Chart  string                 `json:"chart"`
	Meta   map[string]interface{} `json:"meta"`
	Values map[string]interface{} `json:"values"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	var in input
	must(json.NewDecoder(os.Stdin).Decode(&in))
	root := template.New("chart").Option("missingkey=error")
	functions := sprig.TxtFuncMap()
	functions["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := root.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	functions["required"] = func(why string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, fmt.Errorf("%s", why)
		}
		return value, nil
	}
	// JSON is YAML: the same value, on one line.
	functions["toYaml"] = func(value interface{}) (string, error) {
		if list, ok := value.([]interface{}); ok {
			var lines []string
			for _, item := range list {
				text, err := json.Marshal(item)
				if err != nil {
					return "", err
				}
				lines = append(lines, "- "+string(text))
			}
			return strings.Join(lines, "\n"), nil
		}
		text, err := json.Marshal(value)
		return string(text), err
	}
	root.Funcs(functions)
	paths, err := filepath.Glob(filepath.Join(in.Chart, "templates", "*"))
	must(err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		must(err)
		_, err = root.New(filepath.Base(path)).Parse(string(text))
		must(err)
	}
	data := map[string]interface{}{
		"Values":  in.Values,
		"Chart":   in.Meta,
		"Release": map[string]interface{}{"Name": "edge", "Namespace": "acme", "Service": "Helm"},
	}
	out := map[string]string{}
	for _, path := range paths {
		name := filepath.Base(path)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var text strings.Builder
		must(root.ExecuteTemplate(&text, name, data))
		out[name] = text.String()
	}
	must(json.NewEncoder(os.Stdout).Encode(out))
}
