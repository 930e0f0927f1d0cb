// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/skybroker/terraform-provider-sky/internal/broker/bringup"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
	"github.com/skybroker/terraform-provider-sky/internal/optimizer"
)

// Attempt is one row of the table of what a launch tried.
type Attempt struct {
	Placement cloud.Placement
	Fault     cloud.Fault
	// Step is what was being done: bootstrap, run, wait, ssh, ports, commit.
	Step string
	Err  error
	// Took is how long the attempt lasted, its removal included.
	Took time.Duration
	// Removed says that nothing of the attempt is left.
	Removed bool
}

// Error says why no placement worked.
type Error struct {
	Cluster  string
	Attempts []Attempt
	// LeftOut says which clouds were not tried, and why.
	LeftOut []string
	// Survivors are machines that could not be removed; they stay in state.
	Survivors []string
	// Err is what ended the launch.
	Err error
	// LogPath names the file with the whole launch.
	LogPath string
}

// Unwrap returns what ended the launch.
func (e *Error) Unwrap() error { return e.Err }

// Error implements error: what ended the launch, every attempt, what is left,
// and where to read more.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %q was not launched: %s\n", e.Cluster, e.cause())
	if len(e.Attempts) > 0 {
		fmt.Fprintf(&b, "\nAttempts, in order:\n%s", attemptTable(e.Attempts))
		for _, why := range e.LeftOut {
			fmt.Fprintf(&b, "Not tried: %s\n", cluster.OneLine(why))
		}
	}
	switch {
	case len(e.Survivors) > 0:
		fmt.Fprintf(&b, "\nSTILL ALIVE AND BILLED: %s. They are kept in state; \"terraform destroy\" tries again to remove them.\n", strings.Join(e.Survivors, ", "))
	case slices.ContainsFunc(e.Attempts, func(a Attempt) bool { return !a.Removed }):
		b.WriteString("\nWhether anything of the last attempt is left could not be learned. It is kept in state; \"terraform destroy\" looks again and removes it.\n")
	case len(e.Attempts) > 0:
		b.WriteString("\nNothing of these attempts is left.\n")
	}
	fmt.Fprintf(&b, "\nThe whole launch is in %s", e.LogPath)
	return b.String()
}

// cause is what ended the launch; after attempts, that nothing is left to try
// needs no more words than the table of them.
func (e *Error) cause() string {
	if inf := (*optimizer.InfeasibleError)(nil); errors.As(e.Err, &inf) && len(e.Attempts) > 0 {
		return "no placement that fits could be had, or was left to try"
	}
	return e.Err.Error()
}

// attemptTable is the table of attempts, a line each.
func attemptTable(attempts []Attempt) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "#\tINFRA\tINSTANCE\tCOST ($/h)\tSTEP\tFAULT\tTOOK\tREASON")
	for i, a := range attempts {
		o := a.Placement.Offer
		instance := fmt.Sprintf("%dx %s", a.Placement.Nodes, o.InstanceType.Name)
		if o.Market == cloud.Spot {
			instance += "[Spot]"
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%.2f\t%s\t%s\t%s\t%s\n", i+1, o.Place(), instance, a.Placement.HourlyUSD(),
			a.Step, faultText(a), a.Took.Round(100*time.Millisecond), cluster.OneLine(bringup.RootCause(a.Err).Error()))
	}
	_ = w.Flush()
	return b.String()
}

// faultText is the fault, or that there was none but an interrupt.
func faultText(a Attempt) string {
	if errors.Is(a.Err, context.Canceled) {
		return "interrupted"
	}
	return a.Fault.String()
}

// ImportError says that a complete cluster of that name is alive and belongs
// to another state, or to none.
type ImportError struct {
	Name      string
	ID        string
	Instances []string
	Home      string
	// Edited is that it was launched from this very folder, that no state was
	// seen to hold it, and that the configuration was another then.
	Edited bool
	// Ended is that it was launched from this very folder by an apply that came to
	// its end. Whether Terraform could save its state then is not known.
	Ended bool
}

// Error implements error.
func (e *ImportError) Error() string {
	where := "nothing on this machine says which configuration it belongs to"
	if e.Home != "" {
		where = "it was launched from " + e.Home
	}
	if e.Ended {
		where += ", by an apply that came to its end. If that apply said that its state could not be saved, save it now with " +
			"\"terraform state push errored.tfstate\" in that folder, and nothing else is to be done"
	}
	if e.Edited {
		return fmt.Sprintf("a complete cluster named %q is running already (%s): an apply in this very folder launched it and was cut off before its state was saved, "+
			"and the configuration was edited since. It was not touched. There are two ways out. Undo the edit and apply: it is adopted, and the edit can be applied then. "+
			"Or take it into the state as it is, with \"terraform import <address> %s\": the next apply changes or replaces it, and terraform destroy removes it",
			e.Name, strings.Join(e.Instances, ", "), e.ID)
	}
	return fmt.Sprintf("a complete cluster named %q is running already (%s); %s. It was not touched. "+
		"Manage it here with \"terraform import <address> %s\", choose another name, or destroy it where it belongs. If this is to replace it by a plan that was made elsewhere, "+
		"write create_before_destroy = true in the resource, too",
		e.Name, strings.Join(e.Instances, ", "), where, e.ID)
}
