// SPDX-License-Identifier: MPL-2.0

// Command shellcheck runs ShellCheck on the shell that machines get: our scripts
// as the rooms join them, what templates render, and what is written down in
// others' here-documents. A script under internal or templates that is in none of
// them is a failure, too.
//
//	shellcheck PROGRAM     from the checkout's folder
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/autostop"
	"github.com/skybroker/terraform-provider-sky/internal/clusterconfig"
	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
	"github.com/skybroker/terraform-provider-sky/templates"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "shellcheck:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("say which program to run")
	}
	program, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	all, err := collect()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "shellcheck-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"--norc", "--shell=sh", "--external-sources", "--source-path=SCRIPTDIR", "--check-sourced"}, wholes(all)...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	return cmd.Run()
}

// collect returns all scripts by their paths.
func collect() (map[string]string, error) {
	all := map[string]string{"script/start.sh": script.Start}
	for room, scripts := range map[string]map[string]string{
		"job": job.NodeScripts(), "remote": remote.NodeScripts(), "autostop": autostop.NodeScripts(), "skypilot": skypilot.NodeScripts(),
	} {
		for name, text := range scripts {
			all[room+"/"+name] = text
		}
	}
	files, err := onDisk()
	if err != nil {
		return nil, err
	}
	for path, text := range files {
		if strings.HasPrefix(path, "internal/cloud/") { // travels as it is, but for the time
			all[path] = strings.ReplaceAll(text, "@DEADLINE@", "0")
		}
	}
	if err := rendered(all); err != nil {
		return nil, err
	}
	for path, text := range files {
		if _, ok := all[path]; !ok && !slices.ContainsFunc(slices.Collect(values(all)), func(s string) bool { return strings.Contains(s, text) }) {
			return nil, fmt.Errorf("%s is in no script that is checked: name it in the room's NodeScripts", path)
		}
	}
	for path, text := range all {
		for i, inner := range documents(text) {
			all[fmt.Sprintf("%s.%d.sh", strings.TrimSuffix(path, ".sh"), i)] = inner
		}
	}
	return all, nil
}

func values(all map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, text := range all {
			if !yield(text) {
				return
			}
		}
	}
}

// onDisk are the scripts in the tree, by their paths.
func onDisk() (map[string]string, error) {
	files := map[string]string{}
	for _, root := range []string{"internal", "templates"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".sh" {
				return err
			}
			text, err := os.ReadFile(path)
			files[filepath.ToSlash(path)] = string(text)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// rendered adds the shell of the templates.
func rendered(all map[string]string) error {
	names, err := fs.Glob(templates.FS, "*.yaml.tmpl")
	if err != nil {
		return err
	}
	for _, file := range names {
		name := strings.TrimSuffix(file, ".yaml.tmpl")
		tmpl, err := clusterconfig.Load(templates.FS, "", name)
		if err != nil {
			return err
		}
		config, err := tmpl.Render(clusterconfig.Vars{ClusterName: "name", Cloud: name})
		if err != nil {
			return err
		}
		boot := config.UserData
		if !strings.HasPrefix(boot, "#!") {
			boot = "" // cloud-config
		}
		for what, text := range map[string]string{
			"boot": boot, "renew": config.RenewHostKey, "setup": config.Setup, "stop": config.SelfStop, "terminate": config.SelfTerminate, "sessions": config.SSHSessions, "ray": script.OnNode(config.Ray.Script),
		} {
			all["templates/"+name+"/"+what+".sh"] = text
		}
	}
	return nil
}

var (
	document = regexp.MustCompile(`(?m)<<'(\w+)'.*$`)
	sourced  = regexp.MustCompile(`(?m)^\s*(?:.*&& |.*\|\| )?\. "\$dir/([\w.]+)"`)
)

// documents are the here-documents of a script that stand as they are.
func documents(text string) []string {
	var found []string
	for _, at := range document.FindAllStringSubmatchIndex(text, -1) {
		if body, _, ok := strings.Cut(text[at[1]:], "\n"+text[at[2]:at[3]]+"\n"); ok {
			found = append(found, strings.TrimPrefix(body, "\n")+"\n")
		}
	}
	return found
}

// wholes are the paths of those that no other one reads as its part, in order.
func wholes(all map[string]string) []string {
	parts := map[string]bool{}
	for path, text := range all {
		for _, m := range sourced.FindAllStringSubmatch(text, -1) {
			parts[filepath.ToSlash(filepath.Join(filepath.Dir(path), m[1]))] = true
		}
	}
	var paths []string
	for path := range all {
		if !parts[path] {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}
