// SPDX-License-Identifier: MPL-2.0

package change

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skybroker/terraform-provider-sky/internal/cloud"
	"github.com/skybroker/terraform-provider-sky/internal/cluster"
)

// containerOf is the image of the container that the cluster's machines were launched
// with, empty for none. Machines that differ are an error: nobody knows what further
// ones are to be.
func containerOf(c cluster.Cluster, machines []cloud.Instance) (string, error) {
	if len(machines) == 0 {
		return "", nil
	}
	for _, m := range machines[1:] {
		if one, other := machines[0].Notes[cloud.TagContainer], m.Notes[cloud.TagContainer]; one != other {
			return "", fmt.Errorf("of the nodes of cluster %q, %s runs in %s and %s in %s; replace the cluster with \"terraform apply -replace\", so that all of its nodes are alike",
				c.Name, machines[0].ID, describe(one), m.ID, describe(other))
		}
	}
	return machines[0].Notes[cloud.TagContainer], nil
}

// alikeIn are the alternatives of a request that ask for the container of the
// cluster's machines. None is an error: half of a gang would run in another one, or
// beside it.
func alikeIn(c cluster.Cluster, container string, all []cloud.Requirement) ([]cloud.Requirement, error) {
	var asked []string
	alike := slices.DeleteFunc(slices.Clone(all), func(r cloud.Requirement) bool {
		image, _ := cloud.ContainerImage(r.Image)
		if text := describe(image); image != container && !slices.Contains(asked, text) {
			asked = append(asked, text)
		}
		return image != container
	})
	if len(alike) > 0 || len(all) == 0 {
		return alike, nil
	}
	advice := "leave image_id out"
	if container != "" {
		advice = fmt.Sprintf("write image_id = %q", cloud.ImageOf(container))
	}
	return nil, fmt.Errorf("the nodes of cluster %q run in %s, and resources ask for %s, so that further nodes would differ from them; %s, or replace the cluster with \"terraform apply -replace\"",
		c.Name, describe(container), strings.Join(asked, " or "), advice)
}

// describe names the container of an image for people.
func describe(container string) string {
	if container == "" {
		return "no container"
	}
	return "the container " + container
}
