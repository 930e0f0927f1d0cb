// SPDX-License-Identifier: MPL-2.0

package launch

import (
	"context"
	"fmt"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/broker/clouds"
	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// takeForReplaced notes that a living cluster of the name is taken for the one to
// be replaced.
func (l *launch) takeForReplaced(ctx context.Context, generation, cloudName string, alive []cloud.Instance) {
	l.log.WarnContext(ctx, "a cluster of this name is taken for the one that this replaces", "generation", generation, "instances", clouds.IDText(alive))
	l.replaced = append(l.replaced, cluster.Replaced{ID: cloudName + "/" + alive[0].Region + "/" + l.spec.Name, Generation: generation, Instances: clouds.IDs(alive)})
}

// checkReplaced refuses to launch beside more than one cluster of the name. A plan
// replaces one, so that another is of a launch whose state was lost; without this
// bound each further run would launch one more.
func (l *launch) checkReplaced() error {
	if len(l.replaced) == 0 || len(l.replaced)+l.held < 2 {
		return nil
	}
	var known []string
	for _, r := range l.replaced {
		known = append(known, fmt.Sprintf("%s, generation %s (%s)", r.ID, r.Generation, strings.Join(r.Instances, ", ")))
	}
	if l.held > 0 {
		known = append(known, "and the one in the state")
	}
	return fmt.Errorf("nothing was launched: more than one cluster named %q is running already, and create_before_destroy replaces one only: %s. "+
		"None was touched. Probably the state of an earlier apply was not saved. Save it with \"terraform state push errored.tfstate\" where that file is left, "+
		"or take a cluster into the state with \"terraform import <address> %s\", and remove those that nothing needs; then apply again",
		l.spec.Name, strings.Join(known, "; "), l.replaced[len(l.replaced)-1].ID)
}
