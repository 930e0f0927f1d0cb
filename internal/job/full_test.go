// SPDX-License-Identifier: MPL-2.0

//go:build openssh && linux

package job_test

import (
	"strings"
	"testing"

	"github.com/skybroker/terraform-provider-sky/internal/job"
	"github.com/skybroker/terraform-provider-sky/internal/remote/remotetest"
)

// TestOpenSSHFullDisk is a job that fills the disk: how it ended is on record
// all the same, and its log up to there, which says that it is not all.
func TestOpenSSHFullDisk(t *testing.T) {
	for i, o := range []remotetest.MachineOptions{{}, {Busybox: true}, {}, {Busybox: true}} {
		o.Mount = `cp -a /root/.ssh "$dir/keys"; mount -t tmpfs -o size=4m none /root; cp -a "$dir/keys" /root/.ssh`
		f := newOpenSSH(t, 1, o, "setsid")
		spec := job.Spec{Name: "full", Run: "echo before; sleep 0.5; cat /dev/zero >~/all 2>/dev/null; seq 100000; exit 7"}
		if i > 1 { // the log goes through a filter
			spec.Secrets = map[string]string{"TOKEN": "canary-4712"}
		}
		status, log := f.wait(t, spec)
		if status.Phase != job.Failed || status.ExitCode == nil || *status.ExitCode != 7 ||
			!strings.HasPrefix(log, "before\n") || !strings.HasSuffix(log, "lost, since the disk was full\n") {
			t.Errorf("%+v, %d bytes of log that end %q", status, len(log), log[max(0, len(log)-200):])
		}
		f.idle(t)
	}
}
