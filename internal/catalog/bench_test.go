// SPDX-License-Identifier: MPL-2.0

//go:build unix

package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// The benchmarks use the catalogs of SKY_CATALOGS, a folder with aws, azure and
// gcp, where it is set, and else generated ones of the same shape and size; both
// as they are and enlarged 10 and 100 times. Whole processes are timed by
// starting this test binary again with benchChild set.

const benchChild = "SKY_CATALOG_BENCH_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(benchChild); mode != "" {
		if err := child(mode, os.Getenv("SKY_CATALOG_BENCH_DIR"), os.Getenv("SKY_CATALOG_BENCH_STATE")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(memory("VmHWM:"), memory("RssAnon:"), memory("RssFile:"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func benchClouds() []string { return []string{"aws", "azure", "gcp"} }

func benchQuery() *cloud.Requirement {
	return &cloud.Requirement{Accelerators: []cloud.Accelerator{{Name: "A100", Count: 8}}, Markets: []cloud.Market{cloud.Spot}}
}

// child is one process: nothing, read (all bytes, count lines), write (as many
// bytes as the snapshots in the state folder have), or else a query, which parses
// where the state folder is empty.
func child(mode, dir, state string) error {
	switch mode {
	case "nothing":
		return nil
	case "read":
		n := 0
		for _, name := range benchClouds() {
			text, err := os.ReadFile(filepath.Join(dir, name, "vms.csv"))
			if err != nil {
				return err
			}
			n += bytes.Count(text, []byte("\n"))
		}
		if n == 0 {
			return fmt.Errorf("no lines")
		}
		return nil
	case "write":
		return writeLikeSnapshots(state)
	}
	set, err := Open(Options{Path: dir, StateDir: state})
	if err != nil {
		return err
	}
	if ask, ok := requests[mode]; ok {
		return ask(set)
	}
	_, ok, err := set.Best(context.Background(), benchQuery(), benchClouds())
	if err == nil && !ok {
		err = fmt.Errorf("nothing found")
	}
	return err
}

// requests are the kinds of question that a plan asks, by mode.
var requests = map[string]func(set *Set) error{
	"accelerator": func(set *Set) error { return rank(set, *benchQuery()) },
	"cpus": func(set *Set) error {
		return rank(set, optimizer.WithDefaults(cloud.Requirement{Markets: []cloud.Market{cloud.OnDemand, cloud.Spot}}))
	},
	"accelerators": func(set *Set) error {
		_, err := set.Over(context.Background(), nil, benchClouds(), func(offers iter.Seq[*cloud.Offer]) error {
			devices := make(optimizer.Devices)
			for o := range offers {
				devices.Add(o)
			}
			if len(devices) == 0 {
				return errors.New("no accelerators")
			}
			return nil
		})
		return err
	},
	"infeasible": func(set *Set) error {
		r := *benchQuery()
		r.Memory = cloud.Quantity{Value: 500_000, AtLeast: true}
		err := rank(set, r)
		if none := (*optimizer.InfeasibleError)(nil); !errors.As(err, &none) {
			return fmt.Errorf("a request that nothing satisfies got %w", err)
		}
		return nil
	},
}

func rank(set *Set, r cloud.Requirement) error {
	req := optimizer.Request{Alternatives: []cloud.Requirement{r}}
	_, err := set.Over(context.Background(), req.Alternatives, benchClouds(), func(offers iter.Seq[*cloud.Offer]) error {
		_, err := optimizer.RankEach(req, offers, nil, nil)
		return err
	})
	return err
}

// BenchmarkRequests runs each kind of request in a process of its own, over
// snapshots that are there, and reports the most memory that was resident, as
// such and for that of the request for one accelerator.
func BenchmarkRequests(b *testing.B) {
	for _, times := range []int{1, 10, 100} {
		dir, state := dirs(b)[times], b.TempDir()
		settle(b, dir, state)
		least := 0.0
		for _, mode := range []string{"accelerator", "cpus", "accelerators", "infeasible"} {
			b.Run(fmt.Sprintf("x%d/%s", times, mode), func(b *testing.B) {
				var all []spent
				for range 5 {
					all = append(all, start(b, mode, dir, state))
				}
				for b.Loop() {
				}
				mib := at(all, func(s spent) float64 { return float64(s.rss) / 1024 }, 0.5)
				if mode == "accelerator" {
					least = mib
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(mib, "MiB")
				b.ReportMetric(mib/least, "MiB/accelerator")
				b.ReportMetric(at(all, func(s spent) float64 { return float64(s.cpu.Microseconds()) / 1000 }, 0), "cpu-ms")
			})
		}
	}
}

func writeLikeSnapshots(state string) error {
	names, err := filepath.Glob(filepath.Join(state, "catalogs", ".snapshots", "*.snap"))
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no snapshots in %s: %w", state, err)
	}
	for _, name := range names {
		st, err := os.Stat(name)
		if err != nil {
			return err
		}
		piece := make([]byte, 64<<10)
		f, err := os.Create(name + ".like")
		if err != nil {
			return err
		}
		for left := st.Size(); left > 0 && err == nil; left -= int64(len(piece)) {
			_, err = f.Write(piece[:min(left, int64(len(piece)))])
		}
		if err := errors.Join(err, f.Close(), os.Remove(name+".like")); err != nil {
			return err
		}
	}
	return nil
}

// memory is a line of this process's memory in KiB: VmHWM is the most that was
// resident, RssAnon its own, RssFile what it shares with files. It is 0 where
// only the parent could tell, since what it tells includes the parent's own.
func memory(line string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), line)
	kib := int64(0)
	_, _ = fmt.Sscan(rest, &kib)
	return kib
}

// benchDirs returns folders of catalogs by how many times they are enlarged.
var benchDirs = sync.OnceValues(func() (map[int]string, error) {
	base, err := os.MkdirTemp("", "sky-bench-")
	if err != nil {
		return nil, err
	}
	texts := realSized()
	if dir := os.Getenv("SKY_CATALOGS"); dir != "" {
		for _, name := range benchClouds() {
			text, err := os.ReadFile(filepath.Join(dir, name, "vms.csv"))
			if err != nil {
				return nil, err
			}
			texts[name] = string(text)
		}
	}
	out := make(map[int]string)
	for _, times := range []int{1, 10, 100} {
		out[times] = filepath.Join(base, strconv.Itoa(times))
		for name, text := range texts {
			path := filepath.Join(out[times], name, "vms.csv")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return nil, err
			}
			if err := os.WriteFile(path, enlarge(text, times), 0o600); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
})

func dirs(b *testing.B) map[int]string {
	b.Helper()
	out, err := benchDirs()
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// enlarge repeats the rows, in new regions and every other time as new types.
func enlarge(text string, times int) []byte {
	head, rows, _ := strings.Cut(text, "\n")
	region := slices.Index(strings.Split(head, ","), "Region")
	fromEnd := len(strings.Split(head, ",")) - region
	var b bytes.Buffer
	b.WriteString(head + "\n")
	for i := range times {
		if i == 0 {
			b.WriteString(rows)
			continue
		}
		for l := range strings.Lines(rows) {
			f := strings.Split(strings.TrimSuffix(l, "\n"), ",")
			f[len(f)-fromEnd] += fmt.Sprintf("-%d", i)
			if i%2 == 0 && f[0] != "" {
				f[0] += fmt.Sprintf("-%d", i)
			}
			b.WriteString(strings.Join(f, ",") + "\n")
		}
	}
	return b.Bytes()
}

// realSized makes catalogs with as many rows, types, zones and accelerators as
// the real ones have.
func realSized() map[string]string {
	rng := rand.New(rand.NewPCG(7, 7))
	accs := []string{"A100,8", "T4,1", "A10G,1", "V100,8", "T4g,1", "M60,1", "K80,8", "Inferentia,1"}
	out := make(map[string]string)
	for name, types := range map[string]int{"aws": 612, "azure": 710, "gcp": 150} {
		zones := map[string]int{"aws": 36, "azure": 7, "gcp": 20}[name]
		var b strings.Builder
		b.WriteString(v5Header)
		for i := range types {
			acc, info := ",", ""
			if i%14 == 0 && name != "gcp" {
				acc = accs[i/14%len(accs)]
				info = fmt.Sprintf("\"{'Gpus': [{'Name': '%s', 'Manufacturer': 'NVIDIA', 'Count': 8, 'MemoryInfo': {'SizeInMiB': 40960}}], 'TotalGpuMemoryInMiB': 327680}\"", acc[:2])
			}
			vcpus := 1 << rng.IntN(8)
			usd := float64(vcpus) * (0.03 + rng.Float64()/10)
			for z := range zones {
				fmt.Fprintf(&b, "t%d.large,%s,%d.0,%d.0,%s,%.4f,%.6f,region-%d,r%d-az%d\n", i, acc, vcpus, vcpus*4, info, usd, usd*(0.2+rng.Float64()/4), z/3, z/3, z%3)
			}
		}
		out[name] = b.String()
	}
	return out
}

// spent is what one process took.
type spent struct {
	wall, cpu time.Duration
	// KiB: the most that was resident, of its own and of files at the end.
	rss, anon, file int64
}

func start(b *testing.B, mode, dir, state string) spent {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchChild+"="+mode, "SKY_CATALOG_BENCH_DIR="+dir, "SKY_CATALOG_BENCH_STATE="+state)
	began := time.Now()
	text, err := cmd.CombinedOutput()
	wall := time.Since(began)
	if err != nil {
		b.Fatalf("%s: %v\n%s", mode, err, text)
	}
	s := spent{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	_, _ = fmt.Sscan(string(text), &s.rss, &s.anon, &s.file)
	return s
}

// at returns the value that a part of all are below: 0 the least, 0.5 the median.
func at(all []spent, of func(s spent) float64, part float64) float64 {
	values := make([]float64, len(all))
	for i, s := range all {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[int(part*float64(len(values)-1))]
}

// BenchmarkProcess times whole processes, the modes in turn, and reports the
// ratios of medians by the clock, and of the least processor times, which other
// work on the machine disturbs less.
func BenchmarkProcess(b *testing.B) {
	for _, times := range []int{1, 10, 100} {
		b.Run("x"+strconv.Itoa(times), func(b *testing.B) {
			dir, state := dirs(b)[times], b.TempDir()
			settle(b, dir, state)
			rounds := map[int]int{1: 41, 10: 15, 100: 5}[times]
			all := make(map[string][]spent)
			for range rounds {
				for _, mode := range []string{"nothing", "read", "write", "query"} {
					all[mode] = append(all[mode], start(b, mode, dir, state))
				}
				empty := b.TempDir()
				all["parse"] = append(all["parse"], start(b, "parse", dir, empty))
			}
			for b.Loop() {
			}
			report(b, all)
		})
	}
}

// settle stores snapshots that the files' times vouch for: as if the files had
// been read some time after they were written.
func settle(b *testing.B, dir, state string) {
	b.Helper()
	set, err := Open(Options{Path: dir, StateDir: state, Now: later})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := set.Sources(b.Context(), benchClouds()); err != nil {
		b.Fatal(err)
	}
}

func report(b *testing.B, all map[string][]spent) {
	b.Helper()
	wall := func(s spent) float64 { return float64(s.wall.Microseconds()) / 1000 }
	cpu := func(s spent) float64 { return float64(s.cpu.Microseconds()) / 1000 }
	rss := func(s spent) float64 { return float64(s.rss) / 1024 }
	anon := func(s spent) float64 { return float64(s.anon) / 1024 }
	file := func(s spent) float64 { return float64(s.file) / 1024 }
	for _, mode := range []string{"nothing", "read", "write", "query", "parse"} {
		b.Logf("%-8s median %7.2f ms, least %7.2f ms; of processor %7.2f, %7.2f ms; %6.1f MiB, of it %.1f its own, %.1f of files", mode,
			at(all[mode], wall, 0.5), at(all[mode], wall, 0), at(all[mode], cpu, 0.5), at(all[mode], cpu, 0),
			at(all[mode], rss, 0.5), at(all[mode], anon, 0.5), at(all[mode], file, 0.5))
	}
	b.ReportMetric(0, "ns/op")
	ratio := func(name, above, below string) {
		b.ReportMetric(at(all[above], wall, 0.5)/at(all[below], wall, 0.5), name)
		b.ReportMetric(at(all[above], cpu, 0)/at(all[below], cpu, 0), name+"-least-cpu")
	}
	ratio("query/nothing", "query", "nothing")
	ratio("parse/read", "parse", "read")
	// What the issue allows: reading the bytes four times, and writing the snapshot.
	allowed := func(of func(s spent) float64, part float64) float64 {
		return 4*at(all["read"], of, part) + max(at(all["write"], of, part)-at(all["nothing"], of, part), 0)
	}
	b.ReportMetric(at(all["parse"], wall, 0.5)/allowed(wall, 0.5), "parse/allowed")
	b.ReportMetric(at(all["parse"], wall, 0)/allowed(wall, 0), "parse/allowed-least")
	b.ReportMetric(at(all["parse"], cpu, 0)/allowed(cpu, 0), "parse/allowed-least-cpu")
	b.ReportMetric(at(all["query"], wall, 0)/at(all["nothing"], wall, 0), "query/nothing-least")
	b.ReportMetric(at(all["query"], rss, 0.5), "MiB-query")
}

// cpuTime is what this process has used so far. Benchmarks count it beside the
// clock, since the machine may be busy with other work.
func cpuTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWarm times queries of one process over three clouds.
func BenchmarkWarm(b *testing.B) {
	queries := map[string]*cloud.Requirement{
		"accelerator":        benchQuery(),
		"accelerator-region": {Accelerators: benchQuery().Accelerators, Region: "us-east-1"},
		"cpus-memory":        {CPUs: cloud.Quantity{Value: 4, AtLeast: true}, Memory: cloud.Quantity{Value: 16, AtLeast: true}},
		"cpus-memory-exact":  {CPUs: cloud.Quantity{Value: 8}, Memory: cloud.Quantity{Value: 32}},
		"cpus-memory-none":   {CPUs: cloud.Quantity{Value: 4, AtLeast: true}, Memory: cloud.Quantity{Value: 500_000, AtLeast: true}},
	}
	names := []string{"accelerator", "accelerator-region", "cpus-memory", "cpus-memory-exact", "cpus-memory-none"}
	for _, times := range []int{1, 10, 100} {
		set, err := Open(Options{Path: dirs(b)[times]})
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range names {
			b.Run(fmt.Sprintf("x%d/%s", times, name), func(b *testing.B) {
				ctx := context.Background()
				if _, _, err := set.Best(ctx, queries[name], benchClouds()); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				began := cpuTime()
				for b.Loop() {
					if _, _, err := set.Best(ctx, queries[name], benchClouds()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}
