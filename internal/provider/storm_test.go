// SPDX-License-Identifier: MPL-2.0

//go:build storm && linux

package provider_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The storm: rounds of operations under the real CLI, each struck at a random
// moment, over clusters with a job, on one or two computers, with a full disk,
// a dead or a frozen head, and a cloud whose own server is killed. After every
// round a user recovers: apply, else destroy, else gc. A round is its seed:
// STORM_SEED=7 STORM_ROUNDS=1 plays round 7 again.

// stormRounds is how many rounds are played where STORM_ROUNDS does not say.
const stormRounds = 24

// toll is what all rounds did, and what must never be: the last four.
type toll struct {
	mu      sync.Mutex
	rounds  int
	strikes map[string]int
	weather map[string]int
	// needed counts the ways to recover that were needed.
	needed                                  map[string]int
	launched                                int
	unrecorded, doubled, twice, unrecovered int
}

func (y *toll) count(of map[string]int, name string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	of[name]++
}

func (y *toll) String() string {
	list := func(of map[string]int) string {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(of)) {
			parts = append(parts, fmt.Sprintf("%s %d", name, of[name]))
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprintf("WEATHER %s\nSTRIKES %s\nRECOVERED BY %s\n", list(y.weather), list(y.strikes), list(y.needed)) +
		fmt.Sprintf("COUNTS rounds %d, machines launched %d, machines without record %d, doubled launches %d, jobs started twice %d, unrecoverable %d\n",
			y.rounds, y.launched, y.unrecorded, y.doubled, y.twice, y.unrecovered)
}

func TestStorm(t *testing.T) {
	needAcc(t)
	rounds, first := stormNumber(t, "STORM_ROUNDS", stormRounds), stormNumber(t, "STORM_SEED", 1)
	y := &toll{strikes: map[string]int{}, weather: map[string]int{}, needed: map[string]int{}}
	t.Run("round", func(t *testing.T) {
		for n := range rounds {
			seed := first + n
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				newStorm(t, uint64(seed), y).play()
			})
		}
	})
	reportFaults(t, "STORM (kills at random moments, and what a user does next)", y.String())
	if y.rounds != rounds {
		t.Errorf("%d rounds came to their end, of %d", y.rounds, rounds)
	}
	if y.unrecorded+y.doubled+y.twice+y.unrecovered > 0 {
		t.Error("the last four counts must be 0")
	}
}

func stormNumber(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a whole number, 1 or more", name, text)
	}
	return n
}

// The weathers of a round: what goes wrong beside the strikes.
const (
	fair       = "fair"
	diskFull   = "full disk"
	deadHead   = "dead head"
	frozenHead = "frozen head"
	twoFolders = "two state folders"
)

// storm is one round.
type storm struct {
	*stormWorld
	rng     *rand.Rand
	toll    *toll
	weather string
	nodes   int
	label   int
	// run is the job's run_id. It changes whenever the job may rightly run again.
	run int
}

func newStorm(t *testing.T, seed uint64, y *toll) *storm {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 7))
	weather := []string{fair, fair, diskFull, deadHead, frozenHead, twoFolders, twoFolders}[rng.IntN(7)]
	folders := 1
	if weather == twoFolders {
		folders = 2
	}
	return &storm{stormWorld: newStormWorld(t, folders, weather == diskFull), rng: rng, toll: y, weather: weather, nodes: 1 + rng.IntN(2)}
}

// play goes through the round.
func (s *storm) play() {
	s.t.Helper()
	s.toll.count(s.toll.weather, s.weather)
	s.write(s.config())
	if s.weather != fair && s.weather != twoFolders {
		s.underWeather()
	} else {
		for range 2 + s.rng.IntN(3) {
			s.operation()
		}
		s.recover()
	}
	s.end()
	s.toll.mu.Lock()
	defer s.toll.mu.Unlock()
	s.toll.rounds++
	s.toll.launched += s.everLaunched()
}

// underWeather has a cluster whose job runs, then the trouble, then strikes,
// and at last a destroy that must get through.
func (s *storm) underWeather() {
	s.t.Helper()
	s.mustRun("apply", "-auto-approve", "-no-color")
	s.strikeHead()
	for range 1 + s.rng.IntN(2) {
		s.struckRun(s.rng.IntN(2) == 0, "plan", "-no-color")
		s.struckRun(true, "destroy", "-auto-approve", "-no-color")
		s.noteRecords()
	}
	s.until("the folder is free", func() bool { return !s.orphans() })
}

func (s *storm) strikeHead() {
	s.t.Helper()
	switch s.weather {
	case diskFull:
		s.fill()
	case deadHead:
		s.endHead()
	case frozenHead:
		s.freezeHead()
	}
}

// config is the configuration as it is now.
func (s *storm) config() string {
	return fmt.Sprintf(`
provider "sky" {
  enabled_clouds  = ["fluffycloud"]
  owner           = "storm"
  ssh_private_key_path = %q
  show_plan_table = false
}
resource "sky_cluster" "c" {
  name      = "storm"
  num_nodes = %d
  resources = { instance_type = "puff-2", labels = { turn = "%d" } }
  setup     = "sleep 0.$((RANDOM %% 5))"
}
resource "sky_job" "j" {
  cluster_id = sky_cluster.c.id
  name       = "count"
  run_id     = "%d"
  run        = "echo $HOME %d >> %s; sleep %d"
  wait       = %t
}
`, s.key, s.nodes, s.label, s.run, s.run, s.starts, s.jobSeconds(), s.waits())
}

// jobSeconds is how long the job runs: on under the weather that strikes it.
func (s *storm) jobSeconds() int {
	if s.waits() {
		return 1
	}
	return 300
}

func (s *storm) waits() bool { return s.weather == fair || s.weather == twoFolders }

// operation is one thing that a user does, struck at a random moment.
func (s *storm) operation() {
	s.t.Helper()
	s.folder = s.rng.IntN(len(s.folders))
	switch s.rng.IntN(8) {
	case 0:
		s.struckRun(true, "destroy", "-auto-approve", "-no-color")
		s.run++
	case 1:
		s.struckRun(true, "plan", "-no-color")
	case 2:
		s.nodes = 1 + s.rng.IntN(3)
		s.apply()
	case 3:
		s.label++
		s.apply()
	case 4:
		s.run++
		s.apply()
	default:
		s.apply()
	}
	s.noteRecords()
	if s.jobMayRunAgain() {
		s.run++
	}
}

func (s *storm) apply() {
	s.write(s.config())
	s.struckRun(true, applyArgs()...)
}

// struckRun runs the CLI and strikes, if it is to, at a random moment.
func (s *storm) struckRun(struck bool, args ...string) {
	s.t.Helper()
	var out bytes.Buffer
	run := s.start(&out, args...)
	done := make(chan error, 1)
	go func() { done <- run.Wait() }()
	kind := "none"
	if struck {
		moment := time.Duration(s.rng.Int64N(int64([]time.Duration{100 * time.Millisecond, time.Second, 4 * time.Second}[s.rng.IntN(3)])))
		blow := s.blows()[s.rng.IntN(len(s.blows()))]
		select {
		case err := <-done:
			done <- err
			kind = "too late"
		case <-time.After(moment):
			kind = blow.name
			blow.do(run)
		}
	}
	s.toll.count(s.toll.strikes, kind)
	err := <-done
	s.t.Logf("folder %d: %s, struck by %s: %v", s.folder, args[0], kind, err)
	if s.t.Failed() || testing.Verbose() {
		s.t.Logf("%s", out.String())
	}
}

// blow is a way to strike.
type blow struct {
	name string
	do   func(run *exec.Cmd)
}

func (s *storm) blows() []blow {
	group := func(run *exec.Cmd, sig syscall.Signal) { _ = syscall.Kill(-run.Process.Pid, sig) } // it may have ended
	return []blow{
		{"kill -9 of the provider", func(run *exec.Cmd) {
			for _, pid := range childrenNow(run.Process.Pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}},
		{"kill -9 of the CLI", func(run *exec.Cmd) { _ = run.Process.Kill() }},
		{"kill -9 of both", func(run *exec.Cmd) { group(run, syscall.SIGKILL) }},
		{"SIGINT", func(run *exec.Cmd) { group(run, syscall.SIGINT) }},
		{"SIGTERM", func(run *exec.Cmd) { group(run, syscall.SIGTERM) }},
		{"SIGINT twice", func(run *exec.Cmd) {
			group(run, syscall.SIGINT)
			<-time.After(300 * time.Millisecond) // as a hand does
			group(run, syscall.SIGINT)
		}},
		{"kill -9 of the cloud's server", func(*exec.Cmd) { s.killServer() }},
	}
}

// noteRecords counts the living machines that neither the state nor a journal
// knows, and generations that live beside each other.
func (s *storm) noteRecords() {
	s.t.Helper()
	record, kept := s.journals(), s.held()
	generations := map[string]bool{}
	for _, m := range s.living() {
		g := m.Tags["sky-generation"]
		generations[g] = true
		if !slices.Contains(kept, m.ID) && !strings.Contains(record, g) {
			s.t.Errorf("machine %s of generation %s is in no state and in no journal", m.ID, g)
			s.toll.bad(&s.toll.unrecorded)
		}
	}
	if len(generations) > 1 {
		s.t.Errorf("%d generations are alive", len(generations))
		s.toll.bad(&s.toll.doubled)
	}
}

func (y *toll) bad(what *int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	*what++
}

// tries bounds the applies of a recovery, and orphanTime the wait for an orphan that
// holds the cluster while it cleans up, and says so.
const (
	tries      = 3
	orphanTime = 5 * time.Minute
)

// recover applies until it works. What is alive then is what the state holds.
func (s *storm) recover() {
	s.t.Helper()
	s.folder = s.rng.IntN(len(s.folders))
	s.write(s.config())
	if !s.untilItWorks(applyArgs()...) {
		s.t.Logf("apply did not recover the cluster; a user destroys it, and applies")
		s.toll.count(s.toll.needed, "destroy and apply")
		if s.run++; !s.untilItWorks("destroy", "-auto-approve", "-no-color") {
			return // end has the last word
		}
		if s.write(s.config()); !s.untilItWorks(applyArgs()...) {
			s.t.Error("no apply works after a destroy")
			s.toll.bad(&s.toll.unrecovered)
		}
	} else {
		s.toll.count(s.toll.needed, "apply")
	}
	kept := s.held()
	for _, m := range s.living() {
		if !slices.Contains(kept, m.ID) {
			s.t.Errorf("after the recovery, machine %s lives beside the state's %v", m.ID, kept)
			s.toll.bad(&s.toll.doubled)
		}
	}
}

// untilItWorks runs the CLI until it succeeds, a bounded number of times.
func (s *storm) untilItWorks(args ...string) bool {
	s.t.Helper()
	tried := 0
	for began := time.Now(); ; {
		var out bytes.Buffer
		err := s.start(&out, args...).Wait()
		if err == nil {
			return true
		}
		s.t.Logf("%s: %v\n%s", args[0], err, out.String())
		if busy := strings.Contains(out.String(), "being worked on by") || strings.Contains(out.String(), "Error acquiring the state lock"); !busy {
			tried++
		}
		if tried == tries || time.Since(began) > orphanTime {
			return false
		}
		s.takeAdvice(out.String())
		<-time.After(time.Second)
	}
}

// What refusals advise where a launch was cut off on another computer: to import a
// cluster that was complete before Terraform wrote its state, and to remove
// machines that were not.
var (
	importAdvice   = regexp.MustCompile(`import\s+<address>\s+([^"\s]+)"`)
	takeOverAdvice = regexp.MustCompile(`terraform-provider-sky (gc --owner \S+ --take-over \S+)\n`)
)

func (s *storm) takeAdvice(refusal string) {
	s.t.Helper()
	if advice := importAdvice.FindStringSubmatch(refusal); advice != nil {
		var out bytes.Buffer
		err := s.start(&out, "import", "-no-color", "sky_cluster.c", advice[1]).Wait()
		s.t.Logf("import %s: %v\n%s", advice[1], err, out.String())
		s.toll.count(s.toll.needed, "import")
	}
	if advice := takeOverAdvice.FindStringSubmatch(refusal); advice != nil {
		args := append(strings.Fields(advice[1]), "--state-dir", s.folders[s.folder])
		text, err := runTool(s.t, args...)
		s.t.Logf("%v: %v\n%s", args, err, text)
		s.toll.count(s.toll.needed, "gc --take-over")
	}
}

// end destroys everything and sees that nothing is left, and that no job was
// started twice.
func (s *storm) end() {
	s.t.Helper()
	if !s.untilItWorks("destroy", "-auto-approve", "-no-color") || len(s.living()) > 0 {
		s.t.Error("destroy does not get through")
		s.toll.count(s.toll.needed, "gc")
		s.gc()
	}
	if left := s.living(); len(left) > 0 {
		s.t.Errorf("gc leaves %+v", left)
		s.toll.bad(&s.toll.unrecovered)
	}
	seen := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(s.started()), "\n") {
		if line != "" && seen[line] {
			s.t.Errorf("the job was started twice: %s", filepath.Base(line))
			s.toll.bad(&s.toll.twice)
		}
		seen[line] = true
	}
}
