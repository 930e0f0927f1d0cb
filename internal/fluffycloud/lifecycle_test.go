// SPDX-License-Identifier: MPL-2.0

//go:build unix

package fluffycloud

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/guest"
	"github.com/skybroker/terraform-provider-sky/internal/fluffycloud/procs"
)

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	id, err := procs.Identify(pid)
	return err == nil && id.Alive()
}

// startDaemons leaves behind what is hard to find: in a session of its own,
// without the environment, elsewhere, deaf to signals, and forking.
func (c *cloud) startDaemons(client *ssh.Client) []int {
	c.t.Helper()
	script := `
cat > stubborn.sh <<'EOS'
trap "" HUP TERM INT
echo $$ >> pids
cd /
exec </dev/null >/dev/null 2>&1
while :; do sleep 1000 & wait; done
EOS
( setsid sh stubborn.sh & )
( setsid env -i PATH=/usr/bin:/bin sh stubborn.sh & )
( nohup sh stubborn.sh & ) >/dev/null 2>&1
while [ "$(cat pids 2>/dev/null | wc -l)" -lt 3 ]; do sleep 0.02; done
cat pids`
	r := c.run(client, script)
	var pids []int
	for _, word := range strings.Fields(r.out) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			c.t.Fatalf("%q: %s", r.out, r.err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 3 {
		c.t.Fatalf("%d daemons: %+v", len(pids), r)
	}
	for _, pid := range pids {
		if !alive(pid) {
			c.t.Fatalf("daemon %d does not run", pid)
		}
	}
	return pids
}

func TestTheEndTakesEveryProcess(t *testing.T) {
	c := newCloud(t, nil)
	ends := map[string]struct {
		market string
		end    func(Instance)
		want   State
		reason string
	}{
		"terminate": {marketOnDemand, func(i Instance) { c.must("DELETE", "/v1/instances/"+i.ID, nil, nil) }, StateTerminated, reasonUser},
		"stop":      {marketOnDemand, func(i Instance) { c.must("POST", "/v1/instances/"+i.ID+"/stop", nil, nil) }, StateStopped, reasonUser},
		"preempt":   {marketSpot, func(i Instance) { c.must("POST", "/v1/instances/"+i.ID+"/preempt", nil, nil) }, StateTerminated, reasonPreempted},
		"kill":      {marketOnDemand, func(i Instance) { c.must("POST", "/v1/instances/"+i.ID+"/kill", nil, nil) }, StateTerminated, reasonHost},
		"SIGTERM": {marketOnDemand, func(i Instance) {
			_ = syscall.Kill(c.machinePID(i.ID), syscall.SIGTERM)
		}, StateTerminated, reasonHost},
	}
	for name, e := range ends {
		t.Run(name, func(t *testing.T) {
			i := c.launch(func(r *launchRequest) { r.Market = e.market })
			pids := c.startDaemons(c.dial(i))
			e.end(i)
			if got := c.await(i.ID, e.want); got.StateReason != e.reason {
				t.Errorf("reason %q, want %q", got.StateReason, e.reason)
			}
			for _, pid := range pids {
				if alive(pid) {
					t.Errorf("daemon %d outlived its machine", pid)
				}
			}
		})
	}
}

// TestOrphansOfAKilledHost: the machine's own process is gone without a word,
// so only the marks tell what was its.
func TestOrphansOfAKilledHost(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	client := c.dial(i)
	r := c.run(client, `( setsid sh -c 'echo $$ > pid; cd /; exec sleep 1000' >/dev/null 2>&1 </dev/null & ); ( env -i setsid /bin/sh -c 'echo $$ > pid2; exec /bin/sleep 1000' >/dev/null 2>&1 </dev/null & ); while [ ! -s pid ] || [ ! -s pid2 ]; do sleep 0.02; done; cat pid pid2`)
	pids := strings.Fields(r.out)
	if len(pids) != 2 {
		t.Fatalf("%+v", r)
	}
	_ = syscall.Kill(c.machinePID(i.ID), syscall.SIGKILL)
	if got := c.await(i.ID, StateTerminated); got.StateReason != reasonHost {
		t.Errorf("reason %q", got.StateReason)
	}
	for _, p := range pids {
		if pid, _ := strconv.Atoi(p); alive(pid) {
			t.Errorf("orphan %d lives", pid)
		}
	}
}

func (c *cloud) machinePID(id string) int {
	c.t.Helper()
	var r guest.Report
	if err := guest.ReadJSON(c.srv.paths(id).Report(), &r); err != nil {
		c.t.Fatal(err)
	}
	return r.PID
}

func TestStopKeepsTheDiskAndStartResumes(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(func(r *launchRequest) { r.UserData = script("#!/bin/sh\necho boot >> $HOME/boots\n") })
	client := c.dial(i)
	key := c.hostKey(i.ID)
	c.until("user data ran", func() bool { return c.run(client, "cat boots").out == "boot\n" })
	c.run(client, "echo kept > file")
	c.refuse("POST", "/v1/instances/"+i.ID+"/start", nil, 409, "conflict")
	c.must("POST", "/v1/instances/"+i.ID+"/stop", nil, nil)
	stopped := c.await(i.ID, StateStopped)
	if stopped.PublicIP != "" || len(c.disks()) != 1 {
		t.Errorf("stopped: %+v, disks %v", stopped, c.disks())
	}
	c.refuse("POST", "/v1/instances/"+i.ID+"/stop", nil, 409, "conflict")
	c.must("POST", "/v1/instances/"+i.ID+"/start", nil, nil)
	again := c.await(i.ID, StateRunning)
	if !bytes.Equal(c.hostKey(i.ID).Marshal(), key.Marshal()) {
		t.Error("the host key changed")
	}
	if again.PublicIP != i.PublicIP || again.SSHPort != i.SSHPort {
		t.Errorf("address was %s:%d, is %s:%d", i.PublicIP, i.SSHPort, again.PublicIP, again.SSHPort)
	}
	if r := c.run(c.dial(again), "cat file boots"); r.out != "kept\nboot\n" {
		t.Errorf("the disk holds %q", r.out)
	}
	spot := c.launch(func(r *launchRequest) { r.Market = marketSpot })
	c.refuse("POST", "/v1/instances/"+spot.ID+"/stop", nil, 409, "conflict")
	c.refuse("POST", "/v1/instances/"+i.ID+"/preempt", nil, 409, "conflict")
}

func (c *cloud) disks() []Disk {
	c.t.Helper()
	var out struct {
		Disks []Disk `json:"disks"`
	}
	c.must("GET", "/v1/disks", nil, &out)
	return out.Disks
}

func TestMachinesSurviveTheServer(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	client := c.dial(i)
	pid := c.machinePID(i.ID)
	c.run(client, "echo before > file")
	key := c.srv.APIKey()
	c.restart()
	if c.srv.APIKey() == key {
		t.Error("the API key outlived the server it was for")
	}
	if got := c.await(i.ID, StateRunning); got.PublicIP != i.PublicIP {
		t.Errorf("%+v, was %+v", got, i)
	}
	if r := c.run(client, "cat file"); r.out != "before\n" || c.machinePID(i.ID) != pid {
		t.Errorf("the connection did not survive: %+v", r)
	}
	pids := c.startDaemons(client)
	c.terminate(i.ID)
	for _, p := range append(pids, pid) {
		if alive(p) {
			t.Errorf("process %d outlived its machine", p)
		}
	}
}

func TestAMachineThatEndedWithoutTheServer(t *testing.T) {
	c := newCloud(t, nil)
	killed, asked := c.launch(nil), c.launch(nil)
	bye := c.launch(nil)
	pids := []int{c.machinePID(killed.ID), c.machinePID(asked.ID), c.machinePID(bye.ID)}
	stopClient, byeClient := c.dial(asked), c.dial(bye)
	if err := c.srv.Close(); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(pids[0], syscall.SIGKILL)
	// No cloud answers, so the machines end by themselves and leave a note.
	for command, client := range map[string]*ssh.Client{"fluffycloud-self stop": stopClient, "fluffycloud-self terminate": byeClient} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		_ = session.Run(command)
	}
	c.until("the machines ended", func() bool { return !alive(pids[0]) && !alive(pids[1]) && !alive(pids[2]) })
	c.start()
	if got := c.await(killed.ID, StateTerminated); got.StateReason != reasonHost {
		t.Errorf("killed: %q", got.StateReason)
	}
	if got := c.await(asked.ID, StateStopped); got.StateReason != reasonSelf {
		t.Errorf("stopped itself: %q", got.StateReason)
	}
	if got := c.await(bye.ID, StateTerminated); got.StateReason != reasonSelf {
		t.Errorf("terminated itself: %q", got.StateReason)
	}
}

// TestInterruptedTransitionsAreFinished closes the server in the midst of each.
func TestInterruptedTransitionsAreFinished(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.StopTime = time.Hour })
	stopping, ending := c.launch(nil), c.launch(nil)
	c.must("POST", "/v1/instances/"+stopping.ID+"/stop", nil, nil)
	c.must("DELETE", "/v1/instances/"+ending.ID, nil, nil)
	if err := c.srv.Close(); err != nil {
		t.Fatal(err)
	}
	c.opts.BootTime, c.opts.StopTime = time.Hour, time.Millisecond
	c.start()
	var out instanceAnswer
	c.must("POST", "/v1/instances", c.request(), &out)
	c.await(stopping.ID, StateStopped)
	c.await(ending.ID, StateTerminated)
	if err := c.srv.Close(); err != nil {
		t.Fatal(err)
	}
	c.opts.BootTime = time.Millisecond
	c.start()
	i := c.await(out.Instance.ID, StateRunning)
	if r := c.run(c.dial(i), "echo up"); r.out != "up\n" {
		t.Errorf("%+v", r)
	}
}

// TestABootCutShort: the server died after it had started the machine and
// before it knew of it.
func TestABootCutShort(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(func(r *launchRequest) { r.UserData = script("#!/bin/sh\necho $$ >> $HOME/boots\n") })
	c.until("user data ran", func() bool { return strings.Count(c.run(c.dial(i), "cat boots").out, "\n") == 1 })
	pid := c.machinePID(i.ID)
	if err := c.srv.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := openStore(c.dir, false)
	if err != nil {
		t.Fatal(err)
	}
	err = st.update(func(tx *tx) error {
		rec, err := fetch[instance](tx, bucketInstances, "instance", i.ID)
		if err != nil {
			return err
		}
		rec.State, rec.PrivateIP, rec.PublicIP, rec.Boots = StatePending, "", "", 0
		return put(tx, bucketInstances, i.ID, rec)
	})
	if err := errors.Join(err, st.close()); err != nil {
		t.Fatal(err)
	}
	c.start()
	again := c.await(i.ID, StateRunning)
	if alive(pid) {
		t.Error("two processes are one machine")
	}
	c.until("user data ran again", func() bool { return strings.Count(c.run(c.dial(again), "cat boots").out, "\n") == 2 })
}

func TestMachinesEndThemselves(t *testing.T) {
	c := newCloud(t, nil)
	for command, want := range map[string]State{
		"fluffycloud-self terminate": StateTerminated,
		"fluffycloud-self stop":      StateStopped,
		"poweroff":                   StateStopped,
	} {
		i := c.launch(nil)
		session, err := c.dial(i).NewSession()
		if err != nil {
			t.Fatal(err)
		}
		_ = session.Run(command)
		if got := c.await(i.ID, want); got.StateReason != reasonSelf {
			t.Errorf("%s: %q", command, got.StateReason)
		}
	}
	i := c.launch(nil)
	client := c.dial(i)
	if r := c.run(client, "ls -l $FLUFFYCLOUD_METADATA_TOKEN_FILE"); !strings.HasPrefix(r.out, "-rw-------") {
		t.Errorf("the token file: %+v", r)
	}
	if r := c.run(client, "printf wrong > $HOME/t; FLUFFYCLOUD_METADATA_TOKEN_FILE=$HOME/t fluffycloud-self terminate"); r.code == 0 {
		t.Errorf("a wrong token works: %+v", r)
	}
	c.refuse("POST", "/self/terminate", nil, 401, "unauthorized")
	if got := c.get(i.ID); got.State != StateRunning {
		t.Errorf("the machine is %s", got.State)
	}
}

func TestExpiryEndsTheMachine(t *testing.T) {
	clock := NewManualClock(time.Now())
	c := newCloud(t, func(o *Options) { o.Clock = clock })
	at := clock.Now().Add(time.Hour)
	doomed := c.launch(func(r *launchRequest) { r.ExpiresAt = &at })
	saved := c.launch(func(r *launchRequest) { r.ExpiresAt = &at })
	late := c.launch(nil)
	c.must("PUT", "/v1/instances/"+saved.ID+"/expiry", map[string]any{"expires_at": nil}, nil)
	c.must("PUT", "/v1/instances/"+late.ID+"/expiry", map[string]any{"expires_at": clock.Now().Add(2 * time.Hour)}, nil)
	c.refuse("PUT", "/v1/instances/"+late.ID+"/expiry", map[string]any{"expires_at": clock.Now().Add(-time.Minute)}, 400, "invalid_parameter")
	clock.Advance(59 * time.Minute)
	if got := c.get(doomed.ID); got.State != StateRunning {
		t.Fatalf("ended %s early", time.Minute)
	}
	c.tickUntil(clock, doomed.ID)
	if got := c.get(doomed.ID); got.StateReason != reasonExpired {
		t.Errorf("reason %q", got.StateReason)
	}
	if got := c.get(saved.ID); got.State != StateRunning {
		t.Errorf("the saved one is %s", got.State)
	}
	clock.Advance(50 * time.Minute)
	c.tickUntil(clock, late.ID)
	if got := c.get(saved.ID); got.State != StateRunning {
		t.Errorf("the saved one is %s", got.State)
	}
	clock.Advance(2 * time.Hour)
	c.refuse("GET", "/v1/instances/"+doomed.ID, nil, 404, "not_found")
}

// tickUntil moves the clock in small steps until the machine is gone.
func (c *cloud) tickUntil(clock *ManualClock, id string) {
	c.t.Helper()
	c.until(id+" is gone", func() bool {
		if c.get(id).State == StateTerminated {
			return true
		}
		clock.Advance(10 * time.Second)
		return false
	})
}

// TestExpiredWhileTheServerWasDown: the timer counts on the way up, too.
func TestExpiredWhileTheServerWasDown(t *testing.T) {
	clock := NewManualClock(time.Now())
	c := newCloud(t, func(o *Options) { o.Clock = clock })
	at := clock.Now().Add(time.Hour)
	i := c.launch(func(r *launchRequest) { r.ExpiresAt = &at })
	if err := c.srv.Close(); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Hour)
	c.start()
	if got := c.await(i.ID, StateTerminated); got.StateReason != reasonExpired {
		t.Errorf("reason %q", got.StateReason)
	}
}

// TestNoMachineOutlivesItsTimer even where the server is gone for good.
func TestNoMachineOutlivesItsTimer(t *testing.T) {
	c := newCloud(t, nil)
	at := time.Now().Add(10 * time.Minute)
	kept := c.launch(func(r *launchRequest) { r.ExpiresAt = &at })
	doomed := c.launch(func(r *launchRequest) { r.ExpiresAt = &at })
	pids := c.startDaemons(c.dial(doomed))
	pids = append(pids, c.machinePID(doomed.ID))
	soon := time.Now().Add(200 * time.Millisecond)
	if err := c.srv.Close(); err != nil {
		t.Fatal(err)
	}
	// As the server itself would have written it a while ago.
	if err := c.srv.tellExpiry(instance{Instance: Instance{ID: doomed.ID, ExpiresAt: &soon}}); err != nil {
		t.Fatal(err)
	}
	c.until("the machine ended itself", func() bool {
		for _, pid := range pids {
			if alive(pid) {
				return false
			}
		}
		return true
	})
	if !alive(c.machinePID(kept.ID)) {
		t.Error("the other machine ended, too")
	}
	c.start()
	if got := c.await(doomed.ID, StateTerminated); got.StateReason != reasonExpired {
		t.Errorf("reason %q", got.StateReason)
	}
	c.must("PUT", "/v1/instances/"+kept.ID+"/expiry", map[string]any{"expires_at": nil}, nil)
	if _, err := os.Stat(c.srv.paths(kept.ID).Expiry()); !os.IsNotExist(err) {
		t.Errorf("the disarmed timer is still on the machine: %v", err)
	}
}

func TestTheBill(t *testing.T) {
	clock := NewManualClock(time.Now())
	c := newCloud(t, func(o *Options) { o.Clock = clock })
	i := c.launch(nil)
	clock.Advance(30 * time.Minute)
	c.must("POST", "/v1/instances/"+i.ID+"/stop", nil, nil)
	c.await(i.ID, StateStopped)
	clock.Advance(10 * time.Hour)
	c.must("POST", "/v1/instances/"+i.ID+"/start", nil, nil)
	c.await(i.ID, StateRunning)
	clock.Advance(30 * time.Minute)
	var out struct {
		Total     float64    `json:"total_usd"`
		Instances []billLine `json:"instances"`
	}
	c.must("GET", "/v1/billing", nil, &out)
	if math.Abs(out.Total-i.HourlyUSD) > 1e-6 || len(out.Instances) != 1 || !out.Instances[0].Running || math.Abs(out.Instances[0].Seconds-3600) > 1e-6 {
		t.Errorf("one hour at %v costs %+v", i.HourlyUSD, out)
	}
	c.terminate(i.ID)
	clock.Advance(time.Hour)
	c.restart()
	c.must("GET", "/v1/billing", nil, &out)
	if math.Abs(out.Total-i.HourlyUSD) > 1e-6 || out.Instances[0].Running {
		t.Errorf("afterwards: %+v", out)
	}
}

func TestOneServerAFolder(t *testing.T) {
	c := newCloud(t, nil)
	_, err := Start(t.Context(), c.opts)
	locked := (*LockedError)(nil)
	if !errors.As(err, &locked) || locked.URL != c.srv.URL() || locked.PID != os.Getpid() {
		t.Errorf("a second server: %v", err)
	}
}

func TestIdleServersFinish(t *testing.T) {
	clock := NewManualClock(time.Now())
	c := newCloud(t, func(o *Options) { o.Clock, o.IdleTimeout = clock, 30*time.Minute })
	i := c.launch(nil)
	clock.Advance(5 * time.Hour)
	c.get(i.ID)
	select {
	case <-c.srv.Done():
		t.Fatal("done while a machine runs")
	default:
	}
	c.terminate(i.ID)
	c.until("the server is done", func() bool {
		select {
		case <-c.srv.Done():
			return true
		default:
			clock.Advance(time.Minute)
			return false
		}
	})
}

func TestADiskThatResists(t *testing.T) {
	c := newCloud(t, nil)
	i := c.launch(nil)
	c.run(c.dial(i), "mkdir -p a/b && touch a/b/c && chmod 000 a/b && chmod 500 a")
	c.terminate(i.ID)
	if _, err := os.Stat(filepath.Join(c.srv.opts.Dir, "machines", i.ID)); !os.IsNotExist(err) {
		t.Errorf("the disk is there: %v", err)
	}
}

func TestManyMachinesAtOnce(t *testing.T) {
	c := newCloud(t, nil)
	var ids []string
	for n := range 12 {
		var out instanceAnswer
		req := c.request()
		req.Tags = map[string]string{"n": fmt.Sprint(n)}
		c.must("POST", "/v1/instances", req, &out)
		ids = append(ids, out.Instance.ID)
	}
	seen := make(map[string]bool)
	for _, id := range ids {
		i := c.await(id, StateRunning)
		address := fmt.Sprintf("%s:%d", i.PublicIP, i.SSHPort)
		if seen[address] {
			t.Errorf("two machines at %s", address)
		}
		seen[address] = true
		if r := c.run(c.dial(i), "echo $FLUFFYCLOUD_INSTANCE_ID"); strings.TrimSpace(r.out) != id {
			t.Errorf("%s says %+v", id, r)
		}
	}
}
