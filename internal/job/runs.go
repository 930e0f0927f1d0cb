// SPDX-License-Identifier: MPL-2.0

package job

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/remote"
)

// A job that was removed and is asked for again must run again, while one whose
// submission was cut off must not start twice. The head knows which is which: the
// folder of a removed job holds a mark. A Spec names a row of jobs, its first run,
// its second run and so on, and the one to submit is the first without a mark.
// Any computer that reaches the head comes to the same one.

// runsAtOnce is how many runs the head is asked about in one question.
const runsAtOnce = 64

// run is the Spec of its run number n, from 0 on.
func (s Spec) run(n int) Spec {
	if n > 0 {
		s.RunID = fmt.Sprintf("%s#%d", s.RunID, n+1)
	}
	return s
}

// plain is the Spec without what says nothing: resources that are those of a job
// without any, and exit codes in another order or twice. What means the same is
// the same job.
func (s Spec) plain(c cluster.Cluster) Spec {
	if s.Resources != nil && s.share(c) == (Spec{}).share(c) {
		s.Resources = nil
	}
	s.RecoverOnExitCodes = slices.Compact(slices.Sorted(slices.Values(s.RecoverOnExitCodes)))
	return s
}

// choose makes s the first run of its Spec that was not removed.
func (r *Runner) choose(ctx context.Context, s *submission, digest string) error {
	for first := 0; ; first += runsAtOnce {
		texts := make([][]byte, runsAtOnce)
		ids := make([]string, runsAtOnce)
		for i := range texts {
			var err error
			if texts[i], err = s.spec.run(first + i).canonical(digest); err != nil {
				return err
			}
			ids[i] = string(idOf(r.cluster.Generation, texts[i]))
		}
		n, err := r.removed(ctx, ids, func(i int) bool { return first+i < s.spec.Removed || slices.Contains(s.spec.Unwanted, ID(ids[i])) })
		if err != nil {
			return err
		}
		if n < runsAtOnce {
			s.id, s.text = ID(ids[n]), texts[n]
			return nil
		}
	}
}

// removed is how many of the jobs, from the first on, were removed. Those known to
// be are marked where they are there.
func (r *Runner) removed(ctx context.Context, ids []string, known func(i int) bool) (int, error) {
	script := "cd .sky/jobs 2>/dev/null || { echo 0; exit 0; }\n"
	for i, id := range ids {
		if known(i) {
			script += fmt.Sprintf("[ ! -d %[1]s ] || : >>%[1]s/removed || exit 1\n", id)
		}
	}
	out, err := r.output(ctx, 0, script+fmt.Sprintf(`n=0
for id in %s; do
	[ -e "$id/removed" ] || break
	n=$((n + 1))
done
echo "$n"`, strings.Join(ids, " ")))
	if err != nil {
		return 0, fmt.Errorf("asking which runs of the job were removed: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || n < 0 || n > len(ids) {
		return 0, fmt.Errorf("asking which runs of the job were removed: unexpected answer %q", remote.Clean(out))
	}
	return n, nil
}

// Remove notes on the head that nobody wants the job any more, so that the same
// Spec submitted again runs again. It ends nothing: Cancel does. Doing it twice is
// fine, and so is a job that the head knows nothing of.
func (r *Runner) Remove(ctx context.Context, id ID) error {
	if err := id.check(); err != nil {
		return err
	}
	err := r.insist(ctx, 10, func(ctx context.Context) error {
		_, err := r.output(ctx, 0, fmt.Sprintf(
			`[ ! -d %[1]s ] || { : >>%[1]s/removed && { sync %[1]s/removed %[1]s 2>/dev/null || sync; }; }`, id.dir()))
		return err
	})
	if err != nil {
		return fmt.Errorf("noting that job %s was removed: %w", id, err)
	}
	return nil
}
