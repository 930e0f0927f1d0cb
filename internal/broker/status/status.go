// SPDX-License-Identifier: MPL-2.0

// Package status is what people look at: the clusters of all clouds, what runs on them,
// what they cost, what is under way, and what gc would say.
package status

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/skybroker/terraform-provider-sky/internal/broker/gc"
	"github.com/skybroker/terraform-provider-sky/internal/broker/observe"
	"github.com/skybroker/terraform-provider-sky/internal/broker/statedir"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// Viewer knows where to look.
type Viewer struct {
	Collector gc.Collector
	// List finds clusters on a cloud, and Ask asks the head of one.
	List func(ctx context.Context, ref cloud.ClusterRef) ([]observe.Listed, error)
	Ask  func(ctx context.Context, c cluster.Cluster) (Head, error)
}

// Head is what the head of a cluster knows.
type Head struct {
	// Jobs are the ids of those that have not ended.
	Jobs []string `json:"jobs"`
	// IdleSeconds is how long nothing has happened; nil is that nobody knows.
	IdleSeconds *int `json:"idle_seconds"`
}

// Row is one cluster.
type Row struct {
	Cluster      string         `json:"cluster"`
	ID           string         `json:"id"`
	Generation   string         `json:"generation"`
	Region       string         `json:"region"`
	Zone         string         `json:"zone"`
	Cloud        string         `json:"cloud"`
	InstanceType string         `json:"instance_type"`
	Accelerators string         `json:"accelerators"`
	Market       cloud.Market   `json:"market"`
	Status       cluster.Status `json:"status"`
	Reason       string         `json:"status_reason"`
	Nodes        []Node         `json:"nodes"`
	// HourlyUSD is what runs of it costs, at launch prices; nil where these are not known.
	HourlyUSD *float64 `json:"hourly_cost"`
	Head
	// Unasked says why the head was not asked; empty is that it was.
	Unasked string `json:"unasked"`
	// Verdict is gc's.
	Verdict string `json:"gc"`
}

// Node is one machine.
type Node struct {
	Rank       int         `json:"rank"`
	InstanceID string      `json:"instance_id"`
	State      cloud.State `json:"state"`
	ExternalIP string      `json:"external_ip"`
}

// Underway is an operation on a cluster that goes on now, on this computer.
type Underway struct {
	Cluster  string `json:"cluster"`
	By       string `json:"by"`
	Progress string `json:"progress"`
	Waiting  string `json:"waiting_for"`
	Done     string `json:"done"`
	Log      string `json:"log"`
}

// Report is one look at everything.
type Report struct {
	Owner    string           `json:"owner"`
	At       time.Time        `json:"at"`
	Clouds   []gc.CloudReport `json:"clouds"`
	Clusters []Row            `json:"clusters"`
	Underway []Underway       `json:"under_way"`
	// Others are what gc finds beside clusters.
	Others []gc.Finding `json:"others"`
}

// Bounds of what is asked of heads.
const (
	askTime = 15 * time.Second
	mostAsk = 32
)

// Look takes one look at everything. Clouds and heads that do not answer are said in
// the report; the error is for what could not be tried at all.
func (v Viewer) Look(ctx context.Context, states []gc.State) (Report, error) {
	seen, err := v.Collector.Look(ctx, gc.Options{States: states})
	r := Report{Owner: seen.Report.Owner, At: v.Collector.Down.Now().UTC(), Clouds: seen.Report.Clouds, Clusters: []Row{}, Underway: v.underway(), Others: []gc.Finding{}}
	if err != nil {
		return r, err
	}
	verdicts := map[string]string{}
	var found []observe.Listed
	for i, c := range r.Clouds {
		if c.Error != "" || c.Machines == 0 {
			continue
		}
		clusters, err := v.List(ctx, cloud.ClusterRef{Cloud: c.Name})
		found = append(found, clusters...)
		if err != nil {
			r.Clouds[i].Remark = err.Error()
		}
	}
	for _, f := range seen.Report.Findings {
		if slices.ContainsFunc(found, func(c observe.Listed) bool { return f.Kind == gc.FindingMachine && c.Generation == f.Generation }) {
			verdicts[f.Generation] = f.Verdict
		} else {
			r.Others = append(r.Others, f)
		}
	}
	r.Clusters = make([]Row, len(found))
	var group errgroup.Group
	group.SetLimit(mostAsk)
	for i, c := range found {
		group.Go(func() error {
			r.Clusters[i] = v.row(ctx, c.Cluster)
			r.Clusters[i].Verdict = verdicts[c.Generation]
			return nil
		})
	}
	return r, group.Wait()
}

func (v Viewer) row(ctx context.Context, c cluster.Cluster) Row {
	row := Row{
		Cluster: c.Name, ID: c.ID, Generation: c.Generation, Cloud: c.Cloud, Region: c.Region, Zone: c.Zone, InstanceType: c.InstanceType,
		Accelerators: c.Accelerators, Market: c.Market, Status: c.Status, Reason: c.StatusReason, Nodes: []Node{}, Head: Head{Jobs: []string{}},
	}
	running := 0
	for _, n := range c.Nodes {
		row.Nodes = append(row.Nodes, Node{Rank: n.Rank, InstanceID: n.InstanceID, State: n.State, ExternalIP: n.ExternalIP})
		if n.State != cloud.StateStopped && n.State != cloud.StateTerminated {
			running++
		}
	}
	if c.HourlyUSD > 0 {
		cost := float64(running) * c.PerNode()
		row.HourlyUSD = &cost
	}
	if !c.HeadRuns() {
		row.Unasked = "it does not run"
		return row
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	head, err := v.Ask(ctx, c)
	if err != nil {
		row.Unasked = cluster.OneLine(err.Error())
		return row
	}
	row.Head = head
	return row
}

// mostLog is how much of the end of a log is read, in bytes.
const mostLog = 64 << 10

// underway are the operations that hold a cluster's lock now, with what they wait for as
// their log says it: what people follow with "tail -F".
func (v Viewer) underway() []Underway {
	out := []Underway{}
	root := v.Collector.Down.State.Path
	dirs, _ := os.ReadDir(filepath.Join(root, "clusters")) // gc says what is wrong with it
	for _, d := range dirs {
		dir := filepath.Join(root, "clusters", d.Name())
		if !d.IsDir() || !statedir.Locked(dir) {
			continue
		}
		u := Underway{Cluster: d.Name(), By: statedir.HolderOf(dir), Log: filepath.Join(root, "logs", d.Name(), "provision.log")}
		u.read()
		out = append(out, u)
	}
	return out
}

// read fills in what the log says last.
func (u *Underway) read() {
	f, err := os.Open(u.Log)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > mostLog {
		_, _ = f.Seek(-mostLog, io.SeekEnd) // else it is read whole
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, mostLog)
	for lines.Scan() {
		if line := lines.Bytes(); bytes.Contains(line, []byte(" progress=")) {
			u.Progress, u.Waiting, u.Done = field(line, "progress"), field(line, "waiting_for"), field(line, "done")
			if name := field(line, "cluster"); name != "" {
				u.Cluster = name
			}
		}
	}
}

var fields = regexp.MustCompile(` ([a-z_]+)=("(?:[^"\\]|\\.)*"|\S+)`)

// field is a value of a line that slog's text handler wrote; empty is none.
func field(line []byte, name string) string {
	for _, m := range fields.FindAllSubmatch(line, -1) {
		if string(m[1]) != name {
			continue
		}
		if text, err := strconv.Unquote(string(m[2])); err == nil {
			return text
		}
		return string(m[2])
	}
	return ""
}
