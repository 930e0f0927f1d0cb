// SPDX-License-Identifier: MPL-2.0

package job

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
	"github.com/skybroker/terraform-provider-sky/internal/script"
)

//go:embed *.sh driver.py
var scripts embed.FS

// text is the text of one of our scripts.
func text(name string) string {
	data, _ := scripts.ReadFile(name) // embedded
	return string(data)
}

// NodeScripts are our scripts as a node gets them, by name. All but claim.sh,
// which puts them there, lie in the job's folder.
func NodeScripts() map[string]string {
	return map[string]string{
		"claim.sh":  script.OnNode(text("queue.sh"), text("prune.sh"), text("claim.sh")),
		"runner.sh": script.OnNode(text("queue.sh"), text("runner.sh")),
		"step.sh":   script.OnNode(text("step.sh")),
		"start.sh":  script.Start,
		"lead.sh":   text("lead.sh"),
		"log.sh":    text("log.sh"),
		"rank.sh":   text("rank.sh"),
		"place.sh":  text("place.sh"),
	}
}

const workdir = "~/sky_workdir"

// submission is one job on its way to the nodes.
type submission struct {
	id   ID
	spec Spec
	text []byte // canonical
	tree *remote.Tree
}

// Submit starts a job, at most once however often it is called: the same Spec on
// the same cluster is the same job, running or ended, until it is removed; then it
// is its next run. It returns once the job's
// runner leads on the head; the connection may go from then on. An error does
// not mean that the job was not started: submit the same Spec again to know.
func (r *Runner) Submit(ctx context.Context, spec Spec) (ID, error) {
	if err := errors.Join(spec.check(len(r.nodes)), spec.fits(r.cluster)); err != nil {
		return "", err
	}
	s := &submission{spec: spec.plain(r.cluster).withDefaults(len(r.nodes))}
	digest := ""
	if spec.Workdir != "" {
		var err error
		if s.tree, err = remote.OpenTree(spec.Workdir, spec.Leave...); err != nil {
			return "", fmt.Errorf("workdir: %w", err)
		}
		digest = s.tree.Digest()
	}
	// Every step reads back what an earlier try did, so a lost answer is no harm.
	err := r.insist(ctx, 20, func(ctx context.Context) error {
		if s.id == "" {
			if err := r.choose(ctx, s, digest); err != nil {
				return err
			}
		}
		return r.submit(ctx, s)
	})
	if err != nil {
		return "", fmt.Errorf("submitting job %s: %w", cmp.Or(string(s.id), spec.Name), redacted(err, spec.Secrets))
	}
	return s.id, nil
}

// redacted keeps secrets out of what scripts said.
func redacted(err error, secrets map[string]string) error {
	if text := remote.Redact(err.Error(), slices.Collect(maps.Values(secrets))...); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// claim is what a node says to a claim.
type claim struct {
	started bool
	ahead   int // jobs before this one
}

func (r *Runner) submit(ctx context.Context, s *submission) error {
	c, err := r.client(ctx, 0)
	if err != nil {
		return err
	}
	head, err := r.claim(ctx, c, s, 0)
	if err != nil {
		return err
	}
	if head.started {
		return nil
	}
	// Others wait for a claimed job as long as its ticket is fresh.
	stop := refresh(ctx, c, s.id)
	defer stop()
	link, err := r.link(ctx, c, s)
	if err != nil {
		return err
	}
	err = each(ctx, r.reach(s), func(ctx context.Context, rank int) error {
		return r.prepare(ctx, s, rank, link, head.ahead)
	})
	if err != nil {
		return err
	}
	_, err = r.ask(ctx, 0, s.id, "start")
	return err
}

// refresh touches the job's ticket until it is stopped.
func refresh(ctx context.Context, c *remote.Client, id ID) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		ticker := time.NewTicker(20 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_, _ = c.Output(ctx, fmt.Sprintf(`touch -c ".sky/queue/$(cat %s/ticket)"`, id.dir())) // the next one may succeed
			}
		}
	}()
	return cancel
}

// prepare brings everything but the head's job folder to one node.
func (r *Runner) prepare(ctx context.Context, s *submission, rank int, link link, ahead int) error {
	c, err := r.client(ctx, rank)
	if err != nil {
		return err
	}
	if rank > 0 {
		if _, err := r.claim(ctx, c, s, rank); err != nil {
			return err
		}
		if err := link(ctx, c); err != nil {
			return err
		}
	}
	if s.tree == nil {
		return nil
	}
	dest := workdir
	if ahead > 0 { // a job before this one may be using the folder
		dest = s.id.dir() + "/workdir"
	}
	return s.tree.Put(ctx, c, dest)
}

// claim stages the job's folder and takes its name, atomically: of several
// claims one wins, and the others learn that it did.
func (r *Runner) claim(ctx context.Context, c *remote.Client, s *submission, rank int) (claim, error) {
	var archive bytes.Buffer
	files, err := r.files(s, rank)
	if err == nil {
		err = pack(&archive, files)
	}
	if err != nil {
		return claim{}, err
	}
	text := fmt.Sprintf("id=%s digest=%s nonce=%s queued=%t keep=%d\n%s", s.id, digestOf(s.text), rand.Text(), rank == 0, r.options.Keep, NodeScripts()["claim.sh"])
	out, err := remote.Output(ctx, c, remote.Command{Script: text, Stdin: &archive})
	if exit := (*remote.ExitError)(nil); errors.As(err, &exit) && exit.Code == 3 {
		return claim{}, fmt.Errorf("rank %d: %w", rank, errConflict)
	}
	if err != nil {
		return claim{}, fmt.Errorf("claiming the job on rank %d: %w", rank, err)
	}
	var got claim
	fields := strings.Fields(out)
	if len(fields) < 2 {
		return claim{}, fmt.Errorf("claiming the job on rank %d: unexpected answer %q", rank, remote.Clean(out))
	}
	got.started = fields[0] == "started"
	got.ahead, err = strconv.Atoi(fields[1])
	if err != nil {
		return claim{}, fmt.Errorf("claiming the job on rank %d: unexpected answer %q", rank, remote.Clean(out))
	}
	return got, nil
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

type file struct {
	name    string
	content []byte
}

// files is the job's folder on a node. Only the head gets the environment.
func (r *Runner) files(s *submission, rank int) ([]file, error) {
	all := []file{
		{"conf", r.conf(s)},
		{"digest", []byte(digestOf(s.text))},
		{"run.sh", []byte(script.Normalize(s.spec.Run))},
	}
	ours := []string{"runner.sh", "rank.sh", "step.sh", "start.sh"}
	if s.spec.Setup != "" {
		all = append(all, file{"setup.sh", []byte(script.Normalize(s.spec.Setup))})
	}
	if rank == 0 {
		nodes, known, err := r.hosts(s.spec.NumNodes)
		if err != nil {
			return nil, err
		}
		if words := hidden(s.spec.Secrets); words != nil {
			all = append(all, file{"hide", words})
		}
		ours = append(ours, "lead.sh", "log.sh")
		all = append(all, file{"env", r.env(s.spec)}, file{"spec", s.text}, file{"nodes", nodes}, file{"known_hosts", known})
		if r.cluster.Runtime == cluster.RuntimeRay {
			ours = append(ours, "place.sh")
			all = append(all, file{"driver.py", []byte(text("driver.py"))}, file{"ray.json", r.rayJob(s)})
		}
	}
	for _, name := range ours {
		all = append(all, file{name, []byte(NodeScripts()[name])})
	}
	return append(all, file{"complete", nil}), nil
}

func pack(w io.Writer, files []file) error {
	tw := tar.NewWriter(w)
	for _, f := range files {
		err := tw.WriteHeader(&tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(f.content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
		if err == nil {
			_, err = tw.Write(f.content)
		}
		if err != nil {
			return fmt.Errorf("packing the job: %w", err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("packing the job: %w", err)
	}
	return nil
}

// conf is read by the runner as shell assignments.
func (r *Runner) conf(s *submission) []byte {
	codes := make([]string, len(s.spec.RecoverOnExitCodes))
	for i, c := range s.spec.RecoverOnExitCodes {
		codes[i] = strconv.Itoa(c)
	}
	seconds := func(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }
	var b strings.Builder
	for _, kv := range [][2]string{
		{"id", string(s.id)},
		{"name", remote.Quote(label(r.cluster.Name) + "_" + string(s.id))},
		{"title", label(s.spec.Name)},
		{"nodes", strconv.Itoa(s.spec.NumNodes)},
		{"slots", strconv.Itoa(s.spec.Parallel)},
		{"grace", strconv.FormatInt(seconds(s.spec.Grace), 10)},
		{"log_blocks", strconv.FormatInt((s.spec.LogLimit+511)/512, 10)},
		{"max_seconds", strconv.FormatInt(seconds(s.spec.MaxDuration), 10)},
		{"recover", remote.Quote(strings.Join(codes, " "))},
		{"max_restarts", strconv.Itoa(s.spec.MaxRestarts)},
		{"process_manager", r.cluster.ProcessManager},
		{"runtime", r.cluster.Runtime},
		{"workdir_record", remote.RecordPath(workdir)},
	} {
		b.WriteString(kv[0] + "=" + kv[1] + "\n")
	}
	return []byte(b.String())
}

// label leaves of a name what is safe everywhere.
func label(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return '-'
	}, name)
}

// env renders what jobs see of SkyPilot, then the user's variables and secrets.
func (r *Runner) env(s Spec) []byte {
	ips := make([]string, s.NumNodes)
	for i := range ips {
		ips[i], _ = r.nodes[i].internal()
	}
	info, _ := json.Marshal(struct { //nolint:errchkjson // four strings
		Name   string `json:"cluster_name"`
		Cloud  string `json:"cloud"`
		Region string `json:"region"`
		Zone   string `json:"zone"`
	}{r.cluster.Name, r.cluster.Cloud, r.cluster.Region, r.cluster.Zone})
	vars := map[string]string{}
	maps.Copy(vars, s.Envs)
	maps.Copy(vars, s.Secrets)
	gpus := strconv.Itoa(int(math.Ceil(s.share(r.cluster).Accelerators)))
	maps.Copy(vars, map[string]string{
		"SKYPILOT_NODE_IPS":                strings.Join(ips, "\n"),
		"SKYPILOT_NUM_NODES":               strconv.Itoa(s.NumNodes),
		"SKYPILOT_NUM_GPUS_PER_NODE":       gpus,
		"SKYPILOT_CLUSTER_INFO":            string(info),
		"SKYPILOT_SETUP_NODE_IPS":          strings.Join(ips, "\n"),
		"SKYPILOT_SETUP_NUM_GPUS_PER_NODE": gpus,
	})
	var b strings.Builder
	vars = script.Env(vars)
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&b, "%s=%s; export %s\n", name, remote.Quote(vars[name]), name)
	}
	return []byte(b.String())
}

// hosts lists how the head reaches the ranks, rank, address, port and user, and
// the keys by which it knows them.
func (r *Runner) hosts(n int) (nodes, known []byte, err error) {
	for _, node := range r.nodes[:n] {
		ip, port := node.internal()
		line, err := remote.KnownHost(ip, port, node.HostKey)
		if err != nil {
			return nil, nil, err
		}
		nodes = fmt.Appendf(nodes, "%d %s %d %s\n", node.Rank, ip, port, node.target.User)
		known = append(known, line...)
	}
	return nodes, known, nil
}
