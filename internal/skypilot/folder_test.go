// SPDX-License-Identifier: MPL-2.0

package skypilot_test

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/skybroker/terraform-provider-sky/internal/skypilot"
)

// TestFolderOfTasks reads every task file of the folder that SKY_TASKS names, and
// prints which are accepted, why others are refused, and where a text is not what
// a plain reading of the YAML has. Without it, the files are ours, each of which
// says in its first line what becomes of it.
func TestFolderOfTasks(t *testing.T) {
	dir, ours := os.Getenv("SKY_TASKS"), false
	if dir == "" {
		dir, ours = filepath.Join("testdata", "tasks"), true
	}
	var accepted, others int
	refused := map[string][]string{}
	for _, path := range taskFiles(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		tasks, err := skypilot.ParseTasks(text, skypilot.Given{Commit: strings.Repeat("0", 40)})
		var problems skypilot.Problems
		switch {
		case err == nil:
			accepted++
			for _, d := range differences(text, tasks) {
				t.Errorf("%s: %s", path, d)
			}
		case strings.Contains(err.Error(), "not a SkyPilot task"):
			others++
		case errors.As(err, &problems):
			for _, p := range problems {
				name := reason(p)
				if !slices.Contains(refused[name], path) {
					refused[name] = append(refused[name], path)
				}
			}
		default:
			refused["not read as YAML"] = append(refused["not read as YAML"], path+": "+err.Error())
		}
		if ours {
			wantVerdict(t, path, text, err)
		}
	}
	t.Logf("%d accepted, %d files of another kind", accepted, others)
	byCount := slices.SortedFunc(maps.Keys(refused), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(refused[b]), len(refused[a])), strings.Compare(a, b))
	})
	for _, name := range byCount {
		t.Logf("%3d refused: %s\n      %s", len(refused[name]), name, strings.Join(refused[name], "\n      "))
	}
	if accepted == 0 {
		t.Errorf("no file of %s is accepted", dir)
	}
}

func taskFiles(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err == nil && d.Type().IsRegular() && (ext == ".yaml" || ext == ".yml") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s has %d task files: %v", dir, len(paths), err)
	}
	return paths
}

// reason is a problem without what one file alone says.
func reason(p skypilot.Problem) string {
	field := regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(p.Field, "[]")
	field = regexp.MustCompile(`^(envs|secrets)\..*`).ReplaceAllString(field, "$1")
	return field + ": " + regexp.MustCompile(`"[^"]*"`).ReplaceAllString(p.Means, "…")
}

// differences are those of a task's texts from a plain reading of its documents.
func differences(text string, tasks skypilot.Tasks) []string {
	var out []string
	var docs []map[string]any
	// A file such as {A100:4, A100:8} has a key twice for others.
	decoder := yaml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "\ufeff")), yaml.AllowDuplicateMapKey())
	for {
		var doc map[string]any
		if err := decoder.Decode(&doc); err != nil {
			if !errors.Is(err, io.EOF) {
				return []string{"a plain reading fails, so it is not compared: " + err.Error()}
			}
			break
		}
		if len(doc) > 0 {
			docs = append(docs, doc)
		}
	}
	docs = docs[len(docs)-min(len(tasks.List), len(docs)):]
	for i, doc := range docs {
		task := tasks.List[i]
		for name, got := range map[string]*string{"name": task.Name, "setup": task.Setup, "run": task.Run, "workdir": task.Workdir} {
			want, isText := doc[name].(string)
			_, clones := doc["workdir"].(map[string]any)
			switch {
			case !isText || name == "name" && len(docs) == 1:
			case got == nil:
				out = append(out, name+" is lost")
			case name == "setup" && clones && strings.HasSuffix(*got, want), name == "workdir" && strings.Contains(want, "$"):
			case *got != want:
				out = append(out, name+" is "+*got+"\ninstead of "+want)
			}
		}
		envs, _ := doc["envs"].(map[string]any)
		for name, v := range envs {
			if want, isText := v.(string); isText && task.Envs[name] != want && !slices.Contains([]string{"True", "False"}, task.Envs[name]) {
				out = append(out, "envs."+name+" is "+task.Envs[name]+"\ninstead of "+want)
			}
		}
	}
	return out
}

// What a plain reading cannot read is not taken for equal, and a key that is there
// twice does not keep the rest from being compared.
func TestDifferences(t *testing.T) {
	for text, want := range map[string]string{
		"run: [": "a plain reading fails",
		"run: b": "run is a\ninstead of b",
		"run: a": "",
		"resources: {accelerators: {A100:4, A100:8}}\nrun: b": "run is a\ninstead of b",
	} {
		run := "a"
		got := strings.Join(differences(text, skypilot.Tasks{List: []skypilot.Task{{Run: &run}}}), " ")
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// wantVerdict compares with the first line of one of our files.
func wantVerdict(t *testing.T, path, text string, err error) {
	t.Helper()
	first, _, _ := strings.Cut(strings.TrimPrefix(text, "\ufeff"), "\n")
	switch want, refuses := strings.CutPrefix(first, "# refused: "); {
	case first == "# accepted" && err != nil:
		t.Errorf("%s is refused: %v", path, err)
	case refuses && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %q", path, err, want)
	case first != "# accepted" && !refuses:
		t.Errorf("%s does not say in its first line what becomes of it", path)
	}
}
